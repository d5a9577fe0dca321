use super::*;

fn repo() -> Repo {
    Repo {
        name: "r".into(),
        uri: "http://m".into(),
        suite: "s".into(),
        section: "main".into(),
        priority: None,
        trusted: false,
        signed_by: None,
    }
}

/// A cache, and a function that makes new folders.
fn cache(tmp: &Path) -> (Cache, impl Fn(&str) -> PathBuf) {
    let cache = Cache::new(&tmp.join("cache"), &[repo()]);
    cache.prepare().unwrap();
    let top = tmp.to_owned();
    let folder = move |name: &str| {
        let path = top.join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    (cache, folder)
}

fn names(dir: &Path) -> Vec<String> {
    Entry::all_in(dir, |_| true).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn what_one_build_fetched_the_next_one_finds() {
    let tmp = tempfile::tempdir().unwrap();
    let (cache, folder) = cache(tmp.path());
    let (archives, lists) = (folder("a"), folder("l"));
    fs::write(archives.join("x_1_amd64.deb"), "x").unwrap();
    fs::create_dir(archives.join("partial")).unwrap();
    fs::write(lists.join("m_InRelease"), "r").unwrap();
    let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(lists.join("m_InRelease")).unwrap().set_modified(old).unwrap();
    for dir in [&archives, &lists] {
        fs::write(dir.join("lock"), "").unwrap();
    }
    fs::write(lists.join("_srv_repository_._InRelease"), "of a folder").unwrap();
    cache.keep_bootstrap(&cache.packages(&archives).unwrap(), &archives).unwrap();
    cache.keep_lists(&lists).unwrap();

    let (archives, lists) = (folder("a2"), folder("l2"));
    fs::write(lists.join("n_InRelease"), "newer").unwrap();
    cache.lend_lists(&lists).unwrap();
    assert!(cache.lend_bootstrap(&archives).unwrap());
    assert_eq!(names(&lists), ["m_InRelease", "n_InRelease"]);
    assert_eq!(fs::read(lists.join("m_InRelease")).unwrap(), b"r");
    assert_eq!(fs::metadata(lists.join("m_InRelease")).unwrap().modified().unwrap(), old);
    assert_eq!(names(&archives), ["x_1_amd64.deb"]);

    let other = Cache::new(&tmp.path().join("cache"), &[Repo { suite: "t".into(), ..repo() }]);
    let empty = folder("e");
    other.lend_lists(&empty).unwrap();
    assert!(!other.lend_bootstrap(&empty).unwrap());
    assert_eq!(names(&empty), [""; 0]);
}

#[test]
fn indexes_that_are_there_are_newer() {
    let tmp = tempfile::tempdir().unwrap();
    let (cache, folder) = cache(tmp.path());
    let lists = folder("l");
    fs::write(lists.join("m_InRelease"), "old").unwrap();
    cache.keep_lists(&lists).unwrap();
    fs::write(lists.join("m_InRelease"), "new").unwrap();
    cache.lend_lists(&lists).unwrap();
    assert_eq!(fs::read(lists.join("m_InRelease")).unwrap(), b"new");
}

#[test]
fn a_package_of_the_same_name_and_size_is_another_one() {
    let tmp = tempfile::tempdir().unwrap();
    let (cache, folder) = cache(tmp.path());
    let archives = folder("a");
    let built = |content: &str| {
        fs::write(archives.join("x_1_all.deb"), content).unwrap();
        vec![("x_1_all.deb".to_owned(), Sum::of(&archives.join("x_1_all.deb")).unwrap())]
    };
    let first = built("first");
    cache.keep_packages(&first, &archives).unwrap();
    let again = built("again");
    fs::remove_file(archives.join("x_1_all.deb")).unwrap();
    cache.lend_packages(&again, &archives).unwrap();
    assert_eq!(names(&archives), [""; 0]);
    // None of them is in the folder, which is no error: apt takes none from there where it has it as a file.
    cache.keep_packages(&again, &archives).unwrap();
    cache.lend_packages(&first, &archives).unwrap();
    assert_eq!(fs::read(archives.join("x_1_all.deb")).unwrap(), b"first");
    for name in ["../x.deb", "..", "/x.deb", ""] {
        cache.lend_packages(&[(name.to_owned(), first[0].1.clone())], &archives).unwrap();
    }
    assert_eq!(names(&archives), ["x_1_all.deb"]);
    assert!(!tmp.path().join("x.deb").exists() && !Path::new("/x.deb").exists());
}

#[test]
fn packages_that_no_index_tells_of_are_strangers() {
    let tmp = tempfile::tempdir().unwrap();
    let (cache, folder) = cache(tmp.path());
    let (archives, lists) = (folder("a"), folder("l"));
    for name in ["x_1_all.deb", "y_1_all.deb"] {
        fs::write(archives.join(name), name).unwrap();
    }
    let packages = cache.packages(&archives).unwrap();
    let strangers = || cache.strangers(&packages, &lists).unwrap();
    assert_eq!(strangers(), [""; 0]);
    let index = |names: &[&str]| {
        names.iter().fold(String::new(), |text, name| {
            text + &format!("Package: p\nSHA256: {}\n\n", digest::sha256(name))
        })
    };
    fs::write(lists.join("m_Packages"), index(&["x_1_all.deb"])).unwrap();
    assert_eq!(strangers(), ["y_1_all.deb"]);
    fs::write(lists.join("n_Packages"), index(&["z", "y_1_all.deb"])).unwrap();
    assert_eq!(strangers(), [""; 0]);
}

#[test]
fn what_debootstrap_packed_up_serves_its_mirror_its_state_and_its_keys() {
    let tmp = tempfile::tempdir().unwrap();
    let (cache, folder) = cache(tmp.path());
    let dir = folder("w");
    let (made, to) = (dir.join("made.tgz"), dir.join("lent.tgz"));
    fs::write(&made, "packages").unwrap();
    cache.keep_tarball(&repo(), "r", &made).unwrap();
    assert!(cache.lend_tarball(&repo(), "r", &to).unwrap());
    assert_eq!(fs::read(&to).unwrap(), b"packages");
    let others = [
        Repo { trusted: true, ..repo() },
        Repo { signed_by: Some(SignedBy::Armored("k".into())), ..repo() },
        Repo { uri: "http://n".into(), ..repo() },
    ];
    for other in others {
        assert!(!cache.lend_tarball(&other, "r", &to).unwrap(), "{other:?}");
    }
    assert!(!cache.lend_tarball(&repo(), "s", &to).unwrap());
}

#[test]
fn lists_of_files_that_are_not_ours_lend_nothing() {
    let sum = format!("SHA256:{}", "ab".repeat(32));
    assert!(Entry::parse(&format!("{sum} 1 name")).is_some());
    for line in [format!("{sum} 1 ../name"), format!("{sum} x name"), format!("{sum} 1"), "x 1 name".into()] {
        assert_eq!(Entry::parse(&line), None, "{line}");
    }
}
