//! Transcripts: an input and a machine go in, what a person is shown of the plan comes out, with the
//! exact command lines. One golden file each; `BAREON_REWRITE=1` writes them anew.

use std::{fs, path::Path};

use bareon::{
    audit::OnError,
    drivers::{self, Facts},
    hardware::Machine,
    plan::{self, Options},
    steps::bootloader::{BootOrder, Firmware},
};
use bareon_host::Script;
use serde_json::Value;

/// The plan of a case, as it is shown.
fn shown(case: &Value) -> String {
    let devices = serde_json::from_value(case["hardware"].clone()).expect("hardware");
    let machine = Machine::recorded(devices);
    let metadata = |_: &str| case["image_metadata"].as_str().map(ToOwned::to_owned);
    let facts = Facts {
        devices: &machine.devices,
        image_metadata: &metadata,
        prepare_configdrive: true,
        configdrive_exists: false,
    };
    let options = Options {
        audit_boot: OnError::Fail,
        firmware: match case["firmware"].as_str() {
            Some("uefi") => Some(Firmware::Uefi),
            Some("both") => Some(Firmware::Both),
            _ => None,
        },
        efi_boot_order: BootOrder::Keep,
        prepare_configdrive: true,
        config_drive_path: "/tmp/config-drive.img".into(),
        nc_template_path: "/usr/share/bareon/cloud-init-templates".into(),
        tmp_path: "/tmp".into(),
        grub_timeout: 5,
        fix_udev_net_rules: true,
        udev_rules_dir: "/etc/udev/rules.d".into(),
        skip_md_containers: true,
    };
    let host = Script::default();
    let name = case["driver"].as_str().expect("driver");
    let driver = drivers::find(name, Path::new("/nonexistent"), &host).expect("a driver");
    match driver.read(&case["input"], &facts) {
        Ok(deployment) => {
            let plan = plan::plan(deployment, &machine, &options, &host);
            // It changes with the version of the program.
            plan.to_string().replace(&plan.id(), "ID")
        }
        Err(mistakes) => format!("refused:\n{mistakes}\n"),
    }
}

#[test]
fn plans_are_as_recorded() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let rewrite = std::env::var_os("BAREON_REWRITE").is_some();
    let mut compared = 0;
    for entry in fs::read_dir(&dir).expect("transcripts") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let case = serde_json::from_str(&fs::read_to_string(&path).expect("a case")).expect("JSON");
        let shown = shown(&case);
        let golden = path.with_extension("txt");
        if rewrite {
            fs::write(&golden, &shown).expect("the golden file");
        }
        let recorded = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(shown, recorded, "{}: see the difference, then run with BAREON_REWRITE=1", path.display());
        compared += 1;
    }
    assert!(compared >= 6, "only {compared} transcripts were compared");
}
