//! What a build will do, as a value: it is what `plan` shows and what `build` runs.
//!
//! Everything that can be refused without fetching anything is refused here: files of the input that are not there,
//! programs that are not installed, what this user cannot do.

use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
};

use bareon_host::{Cmd, Runner, Tool, cmd::without_credentials};
use bareon_image::shown;
use nix::unistd::{AccessFlags, access};
use serde_json::{Value, json};

use super::{
    pack, ramdisk,
    tree::{bootstrap::Bootstrap, cache::Cache, install},
    work::Places,
};
use crate::{
    cli::value::{Bootstrapper, BuildIn},
    drivers::{Mistake, Origins, build_image::Blueprint, mistake::pointer},
    objects::{
        BuildScheme,
        build::{DiskImage, ImageFormat, SignedBy, TarImage, TreeImage},
    },
};

/// The keys of a document that hold passwords.
const SECRETS: [&str; 3] = ["root_password", "hashed_root_password", "debconf"];

/// What a build is told beside the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where working folders are made.
    pub image_build_dir: PathBuf,
    /// How their names end.
    pub image_build_suffix: String,
    /// Who makes the smallest tree.
    pub bootstrapper: Bootstrapper,
    /// Where packages are kept between builds.
    pub cache_dir: Option<PathBuf>,
    /// How often a file is fetched until it comes.
    pub fetch_packages_attempts: u32,
    /// Where the tree is worked on.
    pub build_in: BuildIn,
    /// The latest time of any file, in seconds since 1970; nothing takes that of the newest Release file.
    pub epoch: Option<u64>,
    /// The key that signs the metadata.
    pub sign_key: Option<PathBuf>,
    /// Whether what is there already is built anew.
    pub force: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            image_build_dir: "/tmp".into(),
            image_build_suffix: ".bareon-image".into(),
            bootstrapper: Bootstrapper::Debootstrap,
            cache_dir: None,
            fetch_packages_attempts: 10,
            build_in: BuildIn::Auto,
            epoch: None,
            sign_key: None,
            force: false,
        }
    }
}

/// A step of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The Release files are read.
    Look,
    /// The smallest tree is made.
    Bootstrap(Bootstrap),
    /// Packages are installed; what earlier builds fetched.
    Install(Option<Cache>),
    /// The tree is given what the input asks for beside packages.
    Customize,
    /// What the build left in the tree is removed.
    Clean,
    /// A file system is made of the tree and packed.
    FileSystem(TreeImage),
    /// The tree becomes an archive.
    Tar(TarImage),
    /// The tree becomes a disk.
    Disk(DiskImage),
    /// The tree becomes a bootstrap ramdisk.
    Ramdisk,
    /// The metadata are written, and signed where there is a key.
    Metadata,
    /// All files appear under their names.
    Publish,
}

impl Action {
    /// Whether it makes files in the tree, by programs or by itself.
    pub fn makes_tree(&self) -> bool {
        matches!(self, Self::Bootstrap(_) | Self::Install(_) | Self::Customize | Self::Clean)
    }
}

/// A step with what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does, for people.
    pub what: String,
    /// The same, for the program.
    pub action: Action,
    /// Commands that it runs, as far as they are known before.
    pub commands: Vec<Cmd>,
}

/// A build.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is built.
    pub scheme: BuildScheme,
    /// Where.
    pub places: Places,
    /// The main product, of which the places follow.
    pub output: PathBuf,
    /// The steps, in their order; none where all is there already.
    pub steps: Vec<Step>,
    /// Why it cannot be.
    pub refusals: Vec<Mistake>,
}

/// The files that callers wait for, each with the place of the document that names it.
fn products(scheme: &BuildScheme) -> Vec<(String, PathBuf)> {
    if let Some(bootstrap) = &scheme.bootstrap {
        let output = &bootstrap.output;
        if bootstrap.packed {
            return vec![("/output".into(), output.clone())];
        }
        // The metadata, which are the last, name the build.
        let names = ramdisk::files(bootstrap).into_iter().rev();
        return names.map(|name| ("/output".into(), output.join(name))).collect();
    }
    let image = |image: &TreeImage| {
        (pointer(&pointer("/image_data", &image.mount.to_string_lossy()), "uri"), image.file.clone())
    };
    let tar = scheme.tar.iter().map(|tar| ("/tar_image/uri".into(), tar.file.clone()));
    let disk = scheme.disk.iter().map(|disk| ("/disk_image/uri".into(), disk.file.clone()));
    scheme.images.iter().map(image).chain(tar).chain(disk).collect()
}

/// Plans a build.
pub fn plan(blueprint: Blueprint, options: &Options, host: &dyn Runner) -> Plan {
    let Blueprint { scheme, deferred, origins } = blueprint;
    let products = products(&scheme);
    let first = products.first().map(|(_, file)| file.clone()).unwrap_or_default();
    let output = scheme.metadata.clone().unwrap_or(first);
    let places = Places::of(&output, options);
    // A folder of files that are not whole tells of a build that was killed while they appeared.
    let done =
        !products.is_empty() && products.iter().all(|(_, file)| file.is_file()) && !places.staging.exists();
    if done && !options.force {
        return Plan { scheme, places, output, steps: Vec::new(), refusals: deferred };
    }
    let mut refusals = refusals(&scheme, &origins, options, &output, host);
    refusals.extend(products.into_iter().filter(|(_, file)| file.is_dir()).map(folder_there));
    refusals.splice(..0, deferred);
    // Without a repository there is nothing to begin with, which the driver refuses.
    let steps = if scheme.repos.is_empty() { Vec::new() } else { steps(&scheme, options, &places) };
    Plan { scheme, places, output, steps, refusals }
}

fn folder_there((path, file): (String, PathBuf)) -> Mistake {
    let remedy = match &*path {
        "/output" => {
            "name the archive itself, as ramdisk.tar.gz in that folder; or write directory as the format of the container"
        }
        _ => "give the file another name, or remove the folder",
    };
    Mistake::new(path, Some(&json!(file)), "is a folder, and a file of this name is to be made", remedy)
}

fn steps(scheme: &BuildScheme, options: &Options, places: &Places) -> Vec<Step> {
    let tree = places.tree();
    let cache = options.cache_dir.as_deref().map(|dir| Cache::new(dir, &scheme.repos));
    let bootstrap =
        Bootstrap { by: options.bootstrapper, tree: tree.clone(), work: places.work.clone(), cache };
    let step = |what: String, action, commands| Step { what, action, commands };
    let names: Vec<_> = scheme.repos.iter().map(|repo| repo.name.as_str()).collect();
    let mut steps = vec![
        step(format!("look at the repositories {}", names.join(", ")), Action::Look, Vec::new()),
        step(
            format!("bootstrap {} from {}", scheme.repos[0].suite, shown(&scheme.repos[0].uri)),
            Action::Bootstrap(bootstrap.clone()),
            bootstrap.commands(scheme),
        ),
        step(
            format!("install {} packages and what they need", scheme.packages.len()),
            Action::Install(bootstrap.cache),
            install::commands(&tree, scheme),
        ),
        step("set the password of root, add what the input brings".into(), Action::Customize, Vec::new()),
        step("remove what the build left in the tree".into(), Action::Clean, Vec::new()),
    ];
    for image in &scheme.images {
        let (format, container) = (image.format.name(), image.container.name());
        let what =
            format!("make {} of {}: {format}, {container}", image.file.display(), image.mount.display());
        steps.push(step(what, Action::FileSystem(image.clone()), Vec::new()));
    }
    if let Some(tar) = &scheme.tar {
        let what = format!("make {}: tar, {}", tar.file.display(), tar.container.name());
        steps.push(step(what, Action::Tar(tar.clone()), Vec::new()));
    }
    if let Some(disk) = &scheme.disk {
        let what = format!("make {}: a disk, {}", disk.file.display(), disk.container.name());
        steps.push(step(what, Action::Disk(disk.clone()), Vec::new()));
    }
    if let Some(bootstrap) = &scheme.bootstrap {
        let what = format!("make the bootstrap ramdisk {}", bootstrap.output.display());
        steps.push(step(what, Action::Ramdisk, Vec::new()));
    }
    if let Some(metadata) = &scheme.metadata {
        let signed = if options.sign_key.is_some() { ", signed" } else { "" };
        steps.push(step(format!("write {}{signed}", metadata.display()), Action::Metadata, Vec::new()));
    }
    steps.push(step("have all files appear under their names".into(), Action::Publish, Vec::new()));
    steps
}

/// All that cannot be.
fn refusals(
    scheme: &BuildScheme,
    origins: &Origins,
    options: &Options,
    output: &Path,
    host: &dyn Runner,
) -> Vec<Mistake> {
    let mut found = Vec::new();
    for tool in tools(scheme, options) {
        let origin = tool.origin();
        if !host.has(tool) {
            let problem = format!("`{}` is needed and not installed here", origin.program);
            found.push(Mistake::new("", None, problem, format!("install the package {}", origin.deb)));
        }
    }
    let mut readable = |path: String, file: &Path, folder: bool| {
        let value = json!(file);
        let there = if folder { file.is_dir() } else { file.is_file() && File::open(file).is_ok() };
        if !there {
            let what =
                if folder { "is no folder on this machine" } else { "is no file here that can be read" };
            found.push(Mistake::new(path, Some(&value), what, "name one that is there, by its whole path"));
        }
    };
    for (i, repo) in scheme.repos.iter().enumerate() {
        if let Some(SignedBy::File(file)) = &repo.signed_by {
            readable(format!("/repos/{i}/signed_by"), file, false);
        }
    }
    let custom = &scheme.custom;
    for (i, folder) in custom.extra_files.iter().enumerate() {
        readable(origins.of(&format!("/custom/extra_files/{i}")), folder, true);
    }
    for (i, file) in custom.certs.iter().enumerate() {
        readable(origins.of(&format!("/custom/certs/{i}")), file, false);
    }
    if let Some(file) = &custom.post_script_file {
        readable(origins.of("/custom/post_script_file"), file, false);
    }
    if let Some(file) = &custom.root_ssh_authorized_file {
        readable(origins.of("/custom/root_ssh_authorized_file"), file, false);
    }
    found.extend(wrong_contents(scheme, origins));
    let of_image = |image: &TreeImage| {
        let place = pointer("/image_data", &image.mount.to_string_lossy());
        (pointer(&place, "format"), image.format)
    };
    let of_disk = scheme.disk.iter().map(|disk| ("/disk_image/format".to_owned(), disk.format));
    for (path, format) in scheme.images.iter().map(of_image).chain(of_disk) {
        if let Err(error) = pack::may_make(format) {
            found.push(Mistake::new(path, Some(&json!(format.name())), error.to_string(), "or take ext4"));
        }
    }
    let folder = output.parent().unwrap_or(Path::new("/"));
    let nearest = folder.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    if !nearest.is_dir() || access(nearest, AccessFlags::W_OK).is_err() {
        let problem = "cannot be written to";
        found.push(Mistake::new(
            "/output",
            Some(&json!(folder)),
            problem,
            "name a folder that you may write to",
        ));
    }
    found
}

/// Files of the input that are something else than they are to be: in the image that would go unseen.
fn wrong_contents(scheme: &BuildScheme, origins: &Origins) -> Vec<Mistake> {
    let mut found = Vec::new();
    let text = |file: &Path| fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).ok();
    let mut wrong = |path: &str, file: &Path, problem: &str, remedy: &str| {
        found.push(Mistake::new(origins.of(path), Some(&json!(file)), problem, remedy));
    };
    for (i, file) in scheme.custom.certs.iter().enumerate() {
        if text(file).is_some_and(|text| !text.contains("-----BEGIN CERTIFICATE-----")) {
            let remedy = "convert it: openssl x509 -inform DER -in … -out ….crt";
            wrong(&format!("/custom/certs/{i}"), file, "is no certificate in PEM", remedy);
        }
    }
    if let Some(file) = &scheme.custom.root_ssh_authorized_file
        && text(file).is_some_and(|text| text.contains("PRIVATE KEY-----"))
    {
        let remedy = "name the public key, whose name mostly ends in .pub";
        wrong(
            "/custom/root_ssh_authorized_file",
            file,
            "is a private key, which no image is to hold",
            remedy,
        );
    }
    found
}

/// The programs that a build needs.
fn tools(scheme: &BuildScheme, options: &Options) -> Vec<Tool> {
    let mut tools = vec![Tool::Mount, Tool::Umount, Tool::Chroot, Tool::Tar];
    tools.push(match options.bootstrapper {
        Bootstrapper::Debootstrap => Tool::Debootstrap,
        Bootstrapper::Mmdebstrap => Tool::Mmdebstrap,
    });
    let formats =
        scheme.images.iter().map(|image| image.format).chain(scheme.disk.iter().map(|disk| disk.format));
    for format in formats {
        tools.extend(match format {
            ImageFormat::Ext2 | ImageFormat::Ext3 | ImageFormat::Ext4 => vec![Tool::Mke2fs, Tool::E2fsck],
            ImageFormat::Xfs => vec![Tool::MkfsXfs],
            ImageFormat::Btrfs => vec![Tool::MkfsBtrfs],
        });
    }
    if scheme.disk.is_some() {
        tools.push(Tool::Sfdisk);
    }
    if scheme.bootstrap.is_some() {
        tools.push(Tool::Mksquashfs);
    }
    tools.sort_unstable();
    tools.dedup();
    tools
}

impl Plan {
    /// Whether all is there already.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.refusals.is_empty()
    }

    /// The plan for programs: what callers of the original know, and the steps. Passwords of accounts are left out;
    /// addresses are what the input says, as programs use them.
    pub fn to_json(&self) -> Value {
        let mut value = self.scheme.shown.clone();
        remove_secrets(&mut value);
        let step = |step: &Step| {
            let commands: Vec<_> = step.commands.iter().map(ToString::to_string).collect();
            json!({ "what": step.what, "commands": commands })
        };
        if let Some(object) = value.as_object_mut() {
            object.insert("steps".into(), self.steps.iter().map(step).collect());
            object.insert("refusals".into(), json!(self.refusals));
        }
        value
    }
}

/// Takes passwords out of a document: keys that hold them, and credentials of addresses.
pub fn hide(document: &mut Value) {
    remove_secrets(document);
    hide_credentials(document);
}

fn remove_secrets(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(remove_secrets),
        Value::Object(map) => {
            for secret in SECRETS {
                map.remove(secret);
            }
            map.values_mut().for_each(remove_secrets);
        }
        _ => {}
    }
}

fn hide_credentials(value: &mut Value) {
    match value {
        Value::String(text) => *text = without_credentials(text).into_owned(),
        Value::Array(list) => list.iter_mut().for_each(hide_credentials),
        Value::Object(map) => map.values_mut().for_each(hide_credentials),
        _ => {}
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_done() {
            return writeln!(f, "All necessary images are available; --force builds them anew.");
        }
        writeln!(f, "{} is built in {}:", self.output.display(), self.places.work.display())?;
        for (i, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}. {}", i + 1, step.what)?;
            for command in &step.commands {
                writeln!(f, "       {command}")?;
            }
        }
        if !self.refusals.is_empty() {
            writeln!(f, "This is refused:")?;
        }
        self.refusals.iter().try_for_each(|refusal| writeln!(f, "  {refusal}"))
    }
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;
    use crate::drivers::build_image;

    fn planned(driver: &str, document: &Value) -> Plan {
        let blueprint = build_image::find(driver).unwrap().read(document).unwrap();
        plan(blueprint, &Options::default(), &Script::default())
    }

    #[test]
    fn no_plan_shows_a_password() {
        let document = json!({
            "codename": "bookworm",
            "output": "/nonexistent/out",
            "repos": [{"name": "d", "uri": "http://me:hidden@d/debian", "suite": "bookworm", "section": "main", "priority": null}],
            "proxies": {"protocols": {"http": "http://me:hidden@p:3128"}},
            "image_data": {"/": {"uri": "x", "format": "ext4", "container": "raw"}},
            "root_password": "s3cret",
            "bootstrap": {"root_password": "s3cret", "debconf": ["a b password s3cret"], "label": "l"},
        });
        for driver in ["nailgun_build_image", "bootstrap_build_image"] {
            let plan = planned(driver, &document);
            let (text, json) = (plan.to_string(), plan.to_json());
            assert!(text.contains("http://***@d/debian") && !text.contains("hidden"), "{text}");
            assert!(!text.contains("s3cret") && !json.to_string().contains("s3cret"), "{text}{json}");
            let uri = "/operating_system/repos/0/uri";
            assert_eq!(json.pointer(uri), document.pointer("/repos/0/uri"), "{json}");
            assert!(!json["steps"].to_string().contains("hidden"), "{json}");
        }
        let mut hidden = document.clone();
        hide(&mut hidden);
        assert_eq!(hidden["proxies"]["protocols"]["http"], "http://***@p:3128");
        assert!(!hidden.to_string().contains("s3cret") && hidden["bootstrap"]["label"] == "l", "{hidden}");
    }

    #[test]
    fn what_is_no_certificate_or_no_public_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("a.crt", "-----BEGIN CERTIFICATE-----\n"),
            ("b.crt", "\u{30}\u{82}"),
            ("a.pem", "-----BEGIN CERTIFICATE-----\n"),
            ("id", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let document = json!({
            "codename": "bookworm",
            "output": "/nonexistent/out",
            "repos": [{"name": "d", "uri": "http://d", "suite": "bookworm", "section": "main", "priority": null}],
            "image_data": {"/": {"uri": "x", "format": "ext4", "container": "raw"}},
            "certs": [dir.path().join("a.crt"), dir.path().join("b.crt"), dir.path().join("a.pem")],
            "root_ssh_authorized_file": dir.path().join("id"),
        });
        let plan = planned("nailgun_build_image", &document);
        let told: Vec<_> = plan.refusals.iter().map(ToString::to_string).collect();
        for (place, problem) in [
            ("/certs/1: ", "is no certificate in PEM"),
            ("/certs/2: ", "another certificate has this name"),
            ("/root_ssh_authorized_file: ", "is a private key"),
        ] {
            assert!(told.iter().any(|told| told.starts_with(place) && told.contains(problem)), "{told:#?}");
        }
        assert!(!told.iter().any(|told| told.starts_with("/certs/0")), "{told:#?}");
    }

    #[test]
    fn a_ramdisk_is_there_when_all_of_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut document = json!({
            "codename": "bookworm",
            "output": dir.path(),
            "repos": [{"name": "d", "uri": "http://d", "suite": "bookworm", "section": "main", "priority": null}],
            "image_data": {"/": {"uri": "x", "format": "ext4", "container": "raw"}},
            "bootstrap": {"container": {"format": "directory"}},
        });
        for name in ["vmlinuz", "initrd.img", "root.squashfs", "metadata.yaml"] {
            assert!(!planned("bootstrap_build_image", &document).is_done(), "without {name}");
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert!(planned("bootstrap_build_image", &document).is_done());

        document["bootstrap"]["container"]["format"] = "tar.gz".into();
        let plan = planned("bootstrap_build_image", &document);
        assert!(!plan.is_done());
        let told = plan.refusals.iter().map(ToString::to_string).find(|told| told.starts_with("/output: "));
        assert!(told.as_ref().is_some_and(|told| told.contains("is a folder, and a file")), "{told:?}");
    }
}
