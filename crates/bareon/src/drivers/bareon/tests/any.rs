//! Any document at all: sound layouts hold together, and nothing is read that the schema does not take.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{devices, read};
use crate::{
    drivers::bareon::document,
    objects::{PartitionScheme, partition::PartitionType},
};

fn size() -> impl Strategy<Value = String> {
    prop_oneof![
        (1_u64..60_000).prop_map(|mib| format!("{mib}MiB")),
        (1_u64..40).prop_map(|gb| format!("{gb}GB")),
        (1_u64..60).prop_map(|percent| format!("{percent}%")),
        Just("remaining".to_owned()),
    ]
}

/// A disk with up to six partitions, of which one may be preserved or begin at a place of its own.
fn disk(serial: &'static str) -> impl Strategy<Value = Value> {
    let partition = (size(), prop::option::of(0_u64..90), any::<bool>());
    let table = prop_oneof![Just("gpt"), Just("mbr")];
    (prop::collection::vec(partition, 1..6), table, prop::option::of(any::<bool>())).prop_map(
        move |(partitions, table, boot)| {
            let partition = |(j, (size, start, keep)): (usize, (String, Option<u64>, bool))| {
                let mut it = json!({"name": format!("{serial}{j}"), "size": size});
                if let Some(start) = start.filter(|_| j % 3 == 2) {
                    it["start"] = json!(format!("{start}GiB"));
                }
                if keep && j % 2 == 1 {
                    it["preserve"] = json!(true);
                }
                it
            };
            let partitions: Vec<_> = partitions.into_iter().enumerate().map(partition).collect();
            let mut disk = json!({"match": {"serial": serial}, "table": table, "partitions": partitions});
            if let Some(boot) = boot {
                disk["boot"] = json!(boot);
            }
            disk
        },
    )
}

fn layout() -> impl Strategy<Value = Value> {
    let volumes = prop::collection::vec(size(), 0..4);
    (disk("A"), disk("B"), disk("C"), volumes, any::<bool>()).prop_map(|(a, b, c, volumes, raid)| {
        let volumes: Vec<_> = volumes
            .into_iter()
            .enumerate()
            .map(|(i, size)| json!({"name": format!("v{i}"), "size": size, "format": "xfs"}))
            .collect();
        let mut a = a;
        a["partitions"][0]["mount"] = json!("/");
        a["partitions"][0]["format"] = json!("ext4");
        let mut document = json!({
            "version": 1, "disks": [a, b, c],
            "images": [{"target": "/", "url": "/i"}],
        });
        if raid {
            document["raids"] = json!([{"name": "r", "level": 1, "members": ["B0", "C0"]}]);
        }
        let member = if raid { "r" } else { "C0" };
        document["volume_groups"] = json!([{"name": "g", "members": [member], "logical_volumes": volumes}]);
        document
    })
}

/// No partition overlaps another or lies outside of its disk, and what takes the remainder leaves nothing.
fn holds_together(document: &Value, scheme: &PartitionScheme) {
    for (parted, disk) in scheme.parteds.iter().zip(document["disks"].as_array().unwrap()) {
        let device = devices().into_iter().find(|device| device.device == parted.name).unwrap();
        let size = device.size().unwrap().0;
        let (mut end, mut last) = (1, 0);
        for (i, partition) in parted.partitions.iter().enumerate() {
            assert_eq!(partition.count as usize, i + 1);
            assert!(partition.begin.0 >= end && partition.end > partition.begin, "{parted:#?}");
            last = partition.end.0;
            if partition.partition_type != PartitionType::Extended {
                end = last;
            }
        }
        assert!(
            last << 20 <= size - 33 * device.sector_size().0
                || parted.label != crate::objects::partition::Label::Gpt
        );
        assert!(last << 20 <= size);
        let text = disk.to_string();
        if text.contains("remaining") && !text.contains("start") {
            assert_eq!(last, 102_399, "{parted:#?}");
        }
    }
    let devices: Vec<_> = scheme.partitions().map(|partition| partition.name.as_str()).collect();
    let unique: std::collections::BTreeSet<_> = devices.iter().collect();
    assert_eq!(unique.len(), devices.len());
    assert!(scheme.partitions().filter(|partition| partition.configdrive).count() == 1);
    assert!(scheme.lvs.iter().all(|lv| lv.size.0 > 0 && lv.size.0.is_multiple_of(4)));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop_oneof![
            Just("remaining"),
            Just("10GiB"),
            Just("/"),
            Just("a"),
            Just("ext4"),
            Just("swap"),
            Just("1")
        ]
        .prop_map(Value::from),
    ];
    let schema = document::schema();
    let mut keys: Vec<String> = Vec::new();
    for object in schema["$defs"].as_object().unwrap().values().chain([&schema]) {
        keys.extend(object["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone()));
    }
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(keys.clone()), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_layout_that_is_taken_holds_together(document in layout()) {
        if let Ok(deployment) = read(&document) {
            holds_together(&document, &deployment.partition_scheme);
        }
    }

    #[test]
    fn any_value_is_read_or_refused(value in any_json(), key in prop::sample::select(vec![
        "disks", "raids", "volume_groups", "images", "users", "files", "network", "cloud_init", "hostname",
    ])) {
        let mut document = json!({
            "version": 1, "disks": [{"match": {"serial": "A"}, "partitions": [{"size": "1GiB", "name": "a"}]}],
            "images": [{"target": "a", "url": "/i", "format": "ext4"}],
        });
        document[key] = value;
        let takes = jsonschema::is_valid(&document::schema(), &document);
        match read(&document) {
            Ok(_) => prop_assert!(takes, "{document:#}"),
            // The shape of what passes is the types' as well.
            Err(mistakes) => prop_assert!(!mistakes.to_string().contains("bareon-provision schema")),
        }
    }
}
