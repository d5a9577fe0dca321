//! What both formats have: suite, repositories, packages, proxies, images.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Told, bootstrap, custom, given, images, is_plain_absolute, repos, shown, suites, torrent};
use crate::{
    drivers::{Mistake, Mistakes, place::Place},
    objects::{
        BuildScheme,
        build::{Customization, Proxies, Repo},
    },
};

/// What both formats come to.
struct Base {
    codename: String,
    output: PathBuf,
    repos: Vec<Repo>,
    proxies: Proxies,
    images: images::Images,
    custom: Customization,
}

/// What a document of `nailgun_build_image` asks for.
pub(super) fn images(root: &Place<'_>, told: &mut Told) -> Option<BuildScheme> {
    let base = base(root, told);
    let (packages, shown_packages) = packages(root, base.as_ref(), suites::server, told);
    let mut base = base?;
    let tar = images::tar(root, &base.output, told);
    let disk = images::disk(root, &base.output, told);
    let more = tar.iter().map(|tar| ("/tar_image", tar.file.as_path()));
    let more = more.chain(disk.iter().map(|disk| ("/disk_image", disk.file.as_path())));
    base.images.names_differ(root, more, told);
    let mut scheme = scheme(root, base, packages, &shown_packages);
    (scheme.tar, scheme.disk) = (tar, disk);
    scheme.torrents = torrent::read(root, told);
    Some(scheme)
}

/// What a document of `bootstrap_build_image` asks for.
pub(super) fn bootstrap(root: &Place<'_>, told: &mut Told) -> Option<BuildScheme> {
    let base = base(root, told);
    let (packages, shown_packages) = packages(root, base.as_ref(), suites::ramdisk, told);
    let remedy = "write what the ramdisk is made of, {} for a usual one";
    let place = root.need_object("bootstrap", remedy, &mut told.mistakes);
    let (base, place) = (base?, place?);
    let output = base.output.clone();
    let mut scheme = scheme(root, base, packages, &shown_packages);
    scheme.shown["bootstrap"] = place.value.clone();
    custom::read(&place, &mut scheme.custom, told);
    scheme.bootstrap = Some(bootstrap::read(&place, root.value, output, told));
    (scheme.images, scheme.metadata) = (Vec::new(), None);
    Some(scheme)
}

fn base(root: &Place<'_>, told: &mut Told) -> Option<Base> {
    root.object("write an object, as `bareon-build-image schema` tells", &mut told.mistakes)?;
    let codename = codename(root, told);
    let output = output(root, told);
    let repos = repos::read(root, told);
    let images = images::read(root, output.as_deref().unwrap_or(Path::new("/")), told);
    let proxies = proxies(root, told);
    let mut custom = Customization::default();
    custom::read(root, &mut custom, told);
    Some(Base { codename: codename?, output: output?, repos: repos?, proxies, images: images?, custom })
}

fn scheme(root: &Place<'_>, base: Base, packages: Vec<String>, shown_packages: &Value) -> BuildScheme {
    let operating_system = suites::operating_system(&base.codename);
    let shown =
        shown::shown(root, &operating_system, shown_packages, &base.output, base.images.metadata.as_deref());
    BuildScheme {
        operating_system,
        codename: base.codename,
        repos: base.repos,
        packages,
        proxies: base.proxies,
        custom: base.custom,
        metadata: base.images.metadata,
        images: base.images.images,
        tar: None,
        disk: None,
        torrents: None,
        bootstrap: None,
        shown,
    }
}

fn codename(root: &Place<'_>, told: &mut Told) -> Option<String> {
    let remedy = "write the code name of a suite of Debian or Ubuntu, such as bookworm or jammy";
    let name = root.need_text("codename", remedy, &mut told.mistakes)?.to_lowercase();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain) {
        return Some(name);
    }
    if let Some(place) = root.get("codename") {
        place.wrong("this is no code name", remedy, &mut told.mistakes);
    }
    None
}

fn output(root: &Place<'_>, told: &mut Told) -> Option<PathBuf> {
    let remedy = "write where the result goes, as an absolute path";
    let path = PathBuf::from(root.need_text("output", remedy, &mut told.mistakes)?);
    if let Some(place) = root.get("output").filter(|_| !is_plain_absolute(&path)) {
        told.defer(&place, "this is no absolute path", remedy);
    }
    Some(path)
}

/// The packages, and how a plan shows them.
fn packages(
    root: &Place<'_>,
    base: Option<&Base>,
    usual: fn(&str) -> Option<Vec<&'static str>>,
    told: &mut Told,
) -> (Vec<String>, Value) {
    let remedy = "write the names of packages, in a list";
    if let Some(place) = root.get("packages") {
        let packages = place.texts(remedy, &mut told.deferred).unwrap_or_default();
        for item in place.items(remedy, &mut Mistakes::default()).into_iter().flatten() {
            if item.value.as_str().is_some_and(|name| !is_package(name)) {
                told.defer(&item, "this is no name of a package", "write it as apt-get install takes it");
            }
        }
        return (packages, place.value.clone());
    }
    let Some(base) = base else { return (Vec::new(), Value::Null) };
    if let Some(packages) = usual(&base.codename) {
        return (packages.iter().map(|name| (*name).to_owned()).collect(), json!(packages));
    }
    let problem = format!("which packages {} is usually made of is not known", base.codename);
    told.deferred.push(Mistake::new("/packages", None, problem, remedy));
    (Vec::new(), json!([]))
}

/// Whether apt takes `name` for a package: a name, perhaps an architecture, a version or a suite.
fn is_package(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=/~".contains(c))
}

/// What apt knows proxies for.
const PROTOCOLS: [&str; 3] = ["http", "https", "ftp"];

fn proxies(root: &Place<'_>, told: &mut Told) -> Proxies {
    let mut proxies = Proxies::default();
    let Some(place) = given(root, "proxies") else { return proxies };
    let remedy = "write {\"protocols\": {\"http\": \"http://proxy:3128\"}, \"direct_repo_addr_list\": []}";
    place.object(remedy, &mut told.mistakes);
    if let Some(protocols) = given(&place, "protocols") {
        protocols.object(remedy, &mut told.mistakes);
        for (protocol, uri) in protocols.entries().filter(|(_, uri)| !uri.value.is_null()) {
            if !PROTOCOLS.contains(&protocol) {
                told.defer(&uri, "apt has no proxies for this protocol", "use http, https or ftp");
            } else if let Some(text) = uri.text("write the proxy's URI", &mut told.mistakes) {
                if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"') || text.is_empty()
                {
                    told.defer(&uri, "this is no URI", "write the proxy's URI, such as http://proxy:3128");
                }
                proxies.protocols.push((protocol.to_owned(), text.to_owned()));
            }
        }
    }
    if let Some(direct) = given(&place, "direct_repo_addr_list") {
        let remedy = "write a list of hosts";
        proxies.direct = direct.texts(remedy, &mut told.mistakes).unwrap_or_default();
        for item in direct.items(remedy, &mut Mistakes::default()).into_iter().flatten() {
            let odd = |text: &str| text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '"');
            if item.value.as_str().is_some_and(odd) {
                told.defer(&item, "this is no host", "write the name or address of a host");
            }
        }
    }
    proxies
}
