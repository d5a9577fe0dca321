//! A machine that installs itself: its firmware boots the built ramdisk over the network, which fetches the machine's input,
//! provisions, reports and switches off. Nobody logs in, and 512 MiB of RAM are enough.

use std::time::Duration;

use bareon_tests::vm::{
    assets,
    boot::CHECK,
    document::{partition, with_kernel_parameter},
    machine::{Bus, FAST, Firmware, MAC, SERIAL},
};

use crate::case::{Case, ok};

/// Ten times what it takes on two processors.
const LIMIT: Duration = Duration::from_mins(25);

/// What iPXE is told: `HERE` is the server. `initrd=` is for a kernel that UEFI starts, the others do not look at it.
const SCRIPT: &str = "#!ipxe
kernel HERE/vmlinuz initrd=initrd.img console=ttyS0 quiet FAST BOOTIF=01-${net0/mac:hexhyp} \
bareon.rootfs=HERE/root.squashfs bareon.input=HERE/nodes/%m-%s.json bareon.report=HERE/report/%s bareon.after=halt
initrd HERE/initrd.img
boot
";

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn uefi_ipxe_installs_itself_in_512_mib() {
    let mut case = Case::new(Firmware::Uefi, Bus::Virtio);
    case.machine.memory_mib = 512;
    let server = &case.images;
    let ramdisk = &ok(assets::assets()).ramdisk;
    for name in ["vmlinuz", "initrd.img", "root.squashfs"] {
        server.file(&format!("/{name}"), ramdisk.join(name));
    }
    let volumes = vec![partition("/", "ext4", 1400, "system"), partition("/srv", "xfs", 320, "data")];
    let document = with_kernel_parameter(case.document(volumes), CHECK);
    server.bytes(&format!("/nodes/{}-{SERIAL}.json", MAC.replace(':', "-")), document.to_string());
    server.bytes("/boot.ipxe", SCRIPT.replace("HERE", &server.url("")).replace("FAST", FAST));

    let console = case.machine.dir.join("network.console");
    let running = ok(case.machine.start_from_network(&server.url("/boot.ipxe"), &console));
    ok(running.wait(LIMIT));
    let said = String::from_utf8_lossy(&ok(std::fs::read(&console))).into_owned();
    assert!(said.contains("bareon: Copying images") && said.contains("bareon: done after"), "{said}");
    let form = server.uploaded(&format!("/report/{SERIAL}")).unwrap_or_default();
    let form = String::from_utf8_lossy(&form);
    assert!(form.contains("name=\"status\"\r\n\r\nsuccess\r\n"), "{form}");
    assert!(form.contains("\"outcome\": \"success\"") && form.contains("do_bootloader"), "{form}");

    let facts = case.check("boot");
    facts.mounted("/", "ext4", "");
    facts.mounted("/srv", "xfs", "data");
}
