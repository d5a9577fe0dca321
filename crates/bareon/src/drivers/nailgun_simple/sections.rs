//! The sections of `partitioning`, described by one table from which they are read, completed and
//! shown as a schema.

use serde_json::{Map, Value, json};

use crate::{
    drivers::{
        mistake::{Mistake, Mistakes, pointer},
        place::{Place, truthy},
    },
    objects::PartitionScheme,
};

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A text.
    Text,
    /// A text or `null`.
    MayText,
    /// A text or a number, such as a RAID level.
    Level,
    /// A whole number.
    Number,
    /// Yes or no; 1 and 0 are taken for it.
    Flag,
    /// A list of texts.
    Texts,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of partitions.
    Partitions,
}

/// What stands for a key that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// Nothing can.
    Mistake,
    /// `null`.
    Null,
    /// No.
    No,
    /// A number.
    Number(u64),
    /// A text.
    Text(&'static str),
    /// A text, which an empty value stands for as well.
    OrText(&'static str),
    /// An empty list, which any empty value stands for as well.
    OrEmpty,
}

/// A key of an element.
struct Field(&'static str, Kind, Absent, &'static str);

const KEEP: Field = Field("keep_data", Kind::Flag, Absent::No, "What lies there stays.");

const PARTED: &[Field] = &[
    Field("name", Kind::Text, Absent::Mistake, "The disk's device node, such as /dev/sda."),
    Field("label", Kind::OneOf(&["gpt", "msdos"]), Absent::Mistake, "The kind of the partition table."),
    Field("partitions", Kind::Partitions, Absent::OrEmpty, "The partitions in the order of their numbers."),
    Field("install_bootloader", Kind::Flag, Absent::No, "Whether the boot loader goes onto this disk."),
];

const PARTITION: &[Field] = &[
    Field("name", Kind::Text, Absent::Mistake, "Its device node, such as /dev/sda3."),
    Field("count", Kind::Number, Absent::Mistake, "Its number."),
    Field("device", Kind::Text, Absent::Mistake, "The disk's device node."),
    Field("begin", Kind::Number, Absent::Mistake, "Where it begins, in MiB."),
    Field("end", Kind::Number, Absent::Mistake, "The first MiB that is no longer part of it."),
    Field(
        "partition_type",
        Kind::OneOf(&["primary", "extended", "logical"]),
        Absent::Mistake,
        "Its kind; a GPT knows primary ones only.",
    ),
    Field("flags", Kind::Texts, Absent::OrEmpty, "Flags by parted's names: bios_grub, esp, raid, …"),
    Field("guid", Kind::MayText, Absent::Null, "The GPT type GUID."),
    Field("configdrive", Kind::Flag, Absent::No, "The config drive is written here."),
    KEEP,
];

const PV: &[Field] = &[
    Field("name", Kind::Text, Absent::Mistake, "The device that it lies on."),
    Field("metadatasize", Kind::Number, Absent::Number(16), "The size of each metadata area in MiB."),
    Field("metadatacopies", Kind::Number, Absent::Number(2), "How many metadata areas it has."),
    KEEP,
];

const VG: &[Field] = &[
    Field("name", Kind::Text, Absent::Mistake, "Its name."),
    Field("pvnames", Kind::Texts, Absent::OrEmpty, "The physical volumes that it consists of."),
    KEEP,
];

const LV: &[Field] = &[
    Field("name", Kind::Text, Absent::Mistake, "Its name within the group."),
    Field("vgname", Kind::Text, Absent::Mistake, "The group that it belongs to."),
    Field("size", Kind::Number, Absent::Mistake, "Its size in MiB."),
    KEEP,
];

const MD: &[Field] = &[
    Field("name", Kind::Text, Absent::Mistake, "The device node, such as /dev/md0."),
    Field("level", Kind::Level, Absent::Mistake, "The level as mdadm takes it."),
    Field("devices", Kind::Texts, Absent::OrEmpty, "The member devices."),
    Field("spares", Kind::Texts, Absent::OrEmpty, "The spare devices."),
    KEEP,
    Field("metadata", Kind::Text, Absent::Text("default"), "The version of the superblock."),
];

const FS: &[Field] = &[
    Field("device", Kind::Text, Absent::Mistake, "The device that it lies on."),
    Field("mount", Kind::MayText, Absent::Null, "Where it is mounted; swap for swap space."),
    Field("fs_type", Kind::Text, Absent::OrText("xfs"), "The file system."),
    Field("fs_options", Kind::Text, Absent::OrText(""), "Further arguments of mkfs."),
    Field("fs_label", Kind::Text, Absent::OrText(""), "The label."),
    KEEP,
];

const SECTIONS: &[(&str, &[Field], &str)] = &[
    ("parteds", PARTED, "Disks with their partition tables."),
    ("mds", MD, "md arrays."),
    ("pvs", PV, "Physical volumes of LVM."),
    ("vgs", VG, "Volume groups of LVM."),
    ("lvs", LV, "Logical volumes of LVM."),
    ("fss", FS, "File systems and swap spaces."),
];

/// What was read.
#[derive(Debug, Default)]
pub struct Sections {
    /// The scheme as it stands, completed.
    pub shown: Value,
    /// As much of it as has the right types.
    pub scheme: PartitionScheme,
    /// The values of wrong types.
    pub deferred: Vec<Mistake>,
}

/// Reads `partitioning`.
pub fn read(place: &Place<'_>, mistakes: &mut Mistakes) -> Sections {
    let known: Vec<_> = SECTIONS.iter().map(|(name, ..)| *name).collect();
    unknown(place, &known, mistakes);
    let (mut shown, mut typed, mut deferred) = (Map::new(), Map::new(), Vec::new());
    for (name, fields, _) in SECTIONS {
        let (all, good) = match place.get(name) {
            Some(section) => list(&section, fields, mistakes, &mut deferred),
            None => (Vec::new(), Vec::new()),
        };
        shown.insert((*name).into(), Value::Array(all));
        typed.insert((*name).into(), Value::Array(good));
    }
    let scheme = serde_json::from_value(Value::Object(typed)).unwrap_or_else(|error| {
        // Each value was checked; what is left are numbers that no machine has.
        let remedy = "write numbers that a disk can have";
        deferred.push(Mistake::new(place.path.clone(), None, error.to_string(), remedy));
        PartitionScheme::default()
    });
    Sections { shown: Value::Object(shown), scheme, deferred }
}

fn unknown(place: &Place<'_>, known: &[&str], mistakes: &mut Mistakes) {
    for (key, value) in place.entries() {
        if !known.contains(&key) {
            value.wrong(
                format!("the key `{key}` is not known"),
                format!("known are {}", known.join(", ")),
                mistakes,
            );
        }
    }
}

/// The elements of a section: all of them, completed, and those of them that have the right types.
fn list(
    place: &Place<'_>,
    fields: &[Field],
    mistakes: &mut Mistakes,
    deferred: &mut Vec<Mistake>,
) -> (Vec<Value>, Vec<Value>) {
    let (mut all, mut good) = (Vec::new(), Vec::new());
    if place.value.as_object().is_some_and(Map::is_empty) {
        return (all, good);
    }
    let remedy = "write a list of objects; it may be empty";
    for item in place.items(remedy, mistakes).unwrap_or_default() {
        if item.object(remedy, mistakes).is_some() {
            let (shown, typed) = element(&item, fields, mistakes, deferred);
            all.push(shown);
            good.extend(typed);
        }
    }
    (all, good)
}

fn element(
    item: &Place<'_>,
    fields: &[Field],
    mistakes: &mut Mistakes,
    deferred: &mut Vec<Mistake>,
) -> (Value, Option<Value>) {
    let known: Vec<_> = fields.iter().map(|Field(name, ..)| *name).collect();
    unknown(item, &known, mistakes);
    let (mut shown, mut typed, mut good) = (Map::new(), Map::new(), true);
    for Field(name, kind, absent, about) in fields {
        let place = match item.get(name) {
            Some(place) => place,
            None if *absent == Absent::Mistake => {
                mistakes.push(Mistake::missing(&item.path, name, format!("write it: {about}")));
                continue;
            }
            None => Place { value: &Value::Null, path: pointer(&item.path, name) },
        };
        let value = given_or(item.get(name).map(|place| place.value), *absent);
        if *kind == Kind::Partitions && !value.as_array().is_some_and(Vec::is_empty) {
            let (all, some) = list(&place, PARTITION, mistakes, deferred);
            shown.insert((*name).into(), Value::Array(all));
            typed.insert((*name).into(), Value::Array(some));
            continue;
        }
        if let Some(value) = kind.typed(&value) {
            typed.insert((*name).into(), value);
        } else {
            good = false;
            let problem = format!("`{name}` is not {}", kind.words());
            deferred.push(Mistake::new(place.path, Some(&value), problem, "write it as such"));
        }
        shown.insert((*name).into(), value);
    }
    (Value::Object(shown), good.then_some(Value::Object(typed)))
}

/// The value of a key, or what stands for it.
fn given_or(given: Option<&Value>, absent: Absent) -> Value {
    let stands = match absent {
        Absent::Mistake | Absent::Null => Value::Null,
        Absent::No => json!(false),
        Absent::Number(number) => json!(number),
        Absent::Text(text) | Absent::OrText(text) => json!(text),
        Absent::OrEmpty => json!([]),
    };
    match (given, absent) {
        (Some(value), Absent::OrText(_) | Absent::OrEmpty) if !truthy(value) => stands,
        (Some(value), _) => value.clone(),
        (None, _) => stands,
    }
}

impl Kind {
    /// The value as the objects take it; nothing where it has another type.
    fn typed(self, value: &Value) -> Option<Value> {
        let fits = match self {
            Self::Text => value.is_string(),
            Self::MayText => value.is_string() || value.is_null(),
            Self::Level => value.is_string() || value.is_u64(),
            Self::Number => value.as_u64().is_some_and(|number| number < 1 << 43),
            Self::Flag => return flag(value),
            Self::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            Self::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::Partitions => value.is_array(),
        };
        fits.then(|| value.clone())
    }

    /// What it is, in a message.
    fn words(self) -> String {
        match self {
            Self::Text | Self::MayText => "a text".into(),
            Self::Level => "a text or a number".into(),
            Self::Number => "a whole number".into(),
            Self::Flag => "true or false".into(),
            Self::Texts => "a list of texts".into(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Partitions => "a list of partitions".into(),
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::MayText => json!({"type": ["string", "null"]}),
            Self::Level => json!({"type": ["string", "integer"]}),
            Self::Number => json!({"type": "integer", "minimum": 0}),
            Self::Flag => json!({"enum": [true, false, 0, 1]}),
            Self::Texts => json!({"type": ["array", "null"], "items": {"type": "string"}}),
            Self::OneOf(words) => json!({"enum": words}),
            Self::Partitions => json!({"type": "array", "items": object(PARTITION)}),
        }
    }
}

fn flag(value: &Value) -> Option<Value> {
    match (value, value.as_u64()) {
        (Value::Bool(_), _) => Some(value.clone()),
        (_, Some(number @ 0..=1)) => Some(json!(number == 1)),
        _ => None,
    }
}

/// The schema of `partitioning`.
pub fn schema() -> Value {
    let mut properties = Map::new();
    for (name, fields, about) in SECTIONS {
        let list = json!({"type": "array", "items": object(fields)});
        let nothing = json!({"type": "object", "maxProperties": 0});
        properties.insert((*name).into(), json!({"description": about, "anyOf": [list, nothing]}));
    }
    json!({
        "description": "What lies on the disks, taken as given.",
        "type": "object", "properties": properties, "additionalProperties": false,
    })
}

fn object(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for Field(name, kind, absent, about) in fields {
        let mut schema = kind.schema();
        schema["description"] = json!(about);
        if *absent != Absent::Mistake {
            schema["default"] = given_or(None, *absent);
        }
        properties.insert((*name).into(), schema);
    }
    let needed = fields.iter().filter(|field| field.2 == Absent::Mistake);
    let required: Vec<_> = needed.map(|Field(name, ..)| *name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}
