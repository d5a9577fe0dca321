//! What an executable driver answers: the objects, or mistakes of the document.
//!
//! An answer is read element by element, so that each wrong one is named with its place.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    Host, Mistakes,
    mistake::{Mistake, pointer},
};
use crate::objects::{ConfigDriveScheme, Grub, Image, ImageScheme, OperatingSystem, PartitionScheme};

/// An answer.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Answer {
    /// What the document comes to.
    Objects(Box<Objects>),
    /// What is wrong with the document.
    Refusal(Refusal),
}

/// What the document comes to.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Objects {
    /// What lies on the disks.
    pub partition_scheme: PartitionScheme,
    /// What is written where.
    pub image_scheme: ImageScheme,
    /// The boot loader.
    pub grub: Grub,
    /// The operating system of the root image.
    pub operating_system: OperatingSystem,
    /// What the config drive is made of; `null` or no such key: none is made.
    #[schemars(default)]
    pub configdrive: Option<ConfigDriveScheme>,
    /// Who the machine is.
    #[schemars(default)]
    pub host: Host,
    /// Whether no table, array or group is made, so that all of the layout must be there already. Where nothing is
    /// given: where anything has `keep_data`. With `false` what has it stays, and the rest of its disk is made anew; a
    /// file system stays where it has it itself.
    #[schemars(default)]
    pub skip_partitioning: Option<bool>,
}

/// What is wrong with the document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// All mistakes that were found.
    #[schemars(length(min = 1))]
    pub mistakes: Vec<Mistake>,
}

/// The JSON Schema of an answer.
pub fn schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Answer>();
    schema.to_value()
}

/// Reads an answer; `wrong` makes a mistake of a place and what is wrong there.
///
/// # Errors
/// With every place of the answer that is not as it must be.
pub fn read(answer: Value, wrong: &dyn Fn(&str, &str) -> Mistake) -> Result<Answer, Mistakes> {
    let mut reader = Reader { wrong, mistakes: Mistakes::default() };
    let read = reader.answer(answer);
    match read {
        Some(answer) if reader.mistakes.is_empty() => Ok(answer),
        _ => Err(reader.mistakes),
    }
}

struct Reader<'a> {
    wrong: &'a dyn Fn(&str, &str) -> Mistake,
    mistakes: Mistakes,
}

impl Reader<'_> {
    fn answer(&mut self, answer: Value) -> Option<Answer> {
        let Value::Object(mut answer) = answer else {
            self.wrong("", "its answer is no object");
            return None;
        };
        if answer.contains_key("mistakes") {
            let refusal: Refusal = self.value("", Value::Object(answer))?;
            if refusal.mistakes.is_empty() {
                self.wrong("/mistakes", "it refuses the document and names no mistake");
            }
            return Some(Answer::Refusal(refusal));
        }
        let scheme = self.take(&mut answer, "partition_scheme");
        let images = self.take(&mut answer, "image_scheme");
        let grub = self.take(&mut answer, "grub");
        let system = self.take(&mut answer, "operating_system");
        let configdrive = answer.shift_remove("configdrive").unwrap_or_default();
        let host = answer.shift_remove("host").unwrap_or_else(|| Value::Object(Map::new()));
        let skip_partitioning = answer.shift_remove("skip_partitioning").unwrap_or_default();
        for key in answer.keys() {
            self.wrong(&pointer("", key), "this key of its answer is not known");
        }
        let scheme = scheme.and_then(|scheme| self.scheme(scheme));
        let images: Option<Vec<Image>> = images.and_then(|images| self.list("/image_scheme", images));
        let grub = grub.and_then(|grub| self.value("/grub", grub));
        let system = system.and_then(|system| self.value("/operating_system", system));
        let configdrive = self.value("/configdrive", configdrive);
        let host = self.value("/host", host);
        let skip_partitioning = self.value("/skip_partitioning", skip_partitioning);
        Some(Answer::Objects(Box::new(Objects {
            partition_scheme: scheme?,
            image_scheme: images?,
            grub: grub?,
            operating_system: system?,
            configdrive: configdrive?,
            host: host?,
            skip_partitioning: skip_partitioning?,
        })))
    }

    fn scheme(&mut self, scheme: Value) -> Option<PartitionScheme> {
        const AT: &str = "/partition_scheme";
        let Value::Object(mut scheme) = scheme else {
            self.wrong(AT, "this of its answer is no object");
            return None;
        };
        let mut section = |key: &str| {
            let value = scheme.shift_remove(key).unwrap_or_else(|| Value::Array(Vec::new()));
            (pointer(AT, key), value)
        };
        let (parteds, mds, pvs) = (section("parteds"), section("mds"), section("pvs"));
        let (vgs, lvs, fss) = (section("vgs"), section("lvs"), section("fss"));
        for key in scheme.keys() {
            self.wrong(&pointer(AT, key), "this key of its answer is not known");
        }
        Some(PartitionScheme {
            parteds: self.list(&parteds.0, parteds.1)?,
            mds: self.list(&mds.0, mds.1)?,
            pvs: self.list(&pvs.0, pvs.1)?,
            vgs: self.list(&vgs.0, vgs.1)?,
            lvs: self.list(&lvs.0, lvs.1)?,
            fss: self.list(&fss.0, fss.1)?,
        })
    }

    fn take(&mut self, answer: &mut Map<String, Value>, key: &str) -> Option<Value> {
        let value = answer.shift_remove(key);
        if value.is_none() {
            self.wrong(&pointer("", key), &format!("its answer has no `{key}`"));
        }
        value
    }

    fn list<T: DeserializeOwned>(&mut self, path: &str, value: Value) -> Option<Vec<T>> {
        let Value::Array(items) = value else {
            self.wrong(path, "this of its answer is no list");
            return None;
        };
        let items = items.into_iter().enumerate();
        Some(items.filter_map(|(i, item)| self.value(&format!("{path}/{i}"), item)).collect())
    }

    fn value<T: DeserializeOwned>(&mut self, path: &str, value: Value) -> Option<T> {
        match serde_json::from_value(value) {
            Ok(value) => Some(value),
            // The reader's message may quote what is there, and the config drive holds secrets.
            Err(_) if path == "/configdrive" => {
                self.wrong(path, "this of its answer is not as it must be");
                None
            }
            Err(error) => {
                self.wrong(path, &format!("this of its answer is not as it must be: {error}"));
                None
            }
        }
    }

    fn wrong(&mut self, path: &str, problem: &str) {
        self.mistakes.push((self.wrong)(path, problem));
    }
}
