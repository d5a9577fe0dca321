//! Transcripts: an input and a machine go in, what a person is shown of the plan comes out, with the
//! exact command lines. One golden file each; `BAREON_REWRITE=1` writes them anew. The examples in `contrib/examples`
//! are such cases, too: each is planned for the machine that is recorded beside it.

use std::{fs, path::Path};

use bareon::{
    audit::OnError,
    drivers::{self, Facts, Mistakes},
    hardware::Machine,
    input,
    objects::Bytes,
    plan::{self, Options, Plan, Stage},
    steps::bootloader::{BootOrder, Firmware},
};
use bareon_host::Script;
use serde_json::{Value, json};

/// The plan of a case.
fn plan(case: &Value) -> Result<Plan, Mistakes> {
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
        backup_dir: None,
        skip_md_containers: true,
        // As where they are planned for another machine.
        allow_unverified: case["image_metadata"].is_null(),
        download_dir: None,
        memory_limit: Bytes(256 << 20),
    };
    let host = Script::default();
    let name = case["driver"].as_str().expect("driver");
    let driver = drivers::find(name, Path::new("/nonexistent"), &host).expect("a driver");
    let deployment = driver.read(&case["input"], &facts)?;
    Ok(plan::plan(deployment, &machine, &options, &host))
}

/// The plan of a case, as it is shown.
fn shown(case: &Value) -> String {
    match plan(case) {
        // It changes with the version of the program.
        Ok(plan) => plan.to_string().replace(&plan.id(), "ID"),
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

/// The examples, by name.
fn examples() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/examples");
    let mut cases = Vec::new();
    for entry in fs::read_dir(&folder).expect("examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let hardware = fs::read_to_string(path.with_extension("hardware.json")).expect("hardware");
            let hardware: Value = serde_json::from_str(&hardware).expect("JSON");
            let input = input::read(&path).expect("a document");
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            cases.push((name, json!({"driver": "bareon", "hardware": hardware, "input": input})));
        }
    }
    assert_eq!(cases.len(), 5);
    cases
}

#[test]
fn the_examples_are_laid_out_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts/examples");
    for (name, case) in examples() {
        let shown = shown(&case);
        let disks = shown.split("\nDestroys\n").next().expect("the disks");
        let golden = folder.join(format!("{name}.txt"));
        if std::env::var_os("BAREON_REWRITE").is_some() {
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(&golden, disks).expect("the golden file");
        }
        let recorded = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(disks, recorded, "{name}: see the difference, then run with BAREON_REWRITE=1");
    }
}

#[test]
fn the_examples_are_not_refused() {
    for (name, case) in examples() {
        let plan = plan(&case).unwrap_or_else(|mistakes| panic!("{name}:\n{mistakes}"));
        let refusals: Vec<_> = plan.refusals_of(&Stage::ALL).iter().map(ToString::to_string).collect();
        assert!(refusals.is_empty(), "{name}:\n{}", refusals.join("\n"));
    }
}

/// The commands that a run starts beside those in its plan, over all disks: one to see the disks, two to see the stack on
/// them, one to keep udev from assembling, and one for each image, to see what it holds.
fn beside(plan: &Plan) -> usize {
    4 + plan.deployment.image_scheme.len()
}

/// Starting a program is what a ramdisk spends its time with, so the number is part of the contract.
#[test]
fn few_processes_are_started() {
    for (name, stages, disks, limit) in [
        ("raid-root-over-leftovers", &Stage::ALL[..], 2, 40),
        ("twenty-four-disks", &[Stage::Partition][..], 24, 24 * 5),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("transcripts/{name}.json"));
        let case = serde_json::from_str(&fs::read_to_string(path).expect("a case")).expect("JSON");
        let plan = plan(&case).expect("a plan");
        assert_eq!(plan.deployment.partition_scheme.parteds.len(), disks);
        let beside = beside(&plan);
        let plan = plan.only(stages);
        let shown: usize = plan.steps.iter().map(|step| step.commands().len()).sum();
        assert!(shown > disks * 3, "{name}: a plan of {shown} commands is none for {disks} disks");
        assert!(shown + beside <= limit, "{name}: {shown} commands and {beside} beside them, not {limit}");
    }
}
