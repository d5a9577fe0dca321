//! The config drive as a file: an image labelled `cidata`, ISO 9660 by `xorriso(1)` unless it is to be FAT.
//!
//! The files hold passwords. They are laid out in a folder that only root can enter, the image is
//! made there too, and then put into its place for root alone: at `config_drive_path` there is
//! either a whole image or none. The folder has a fixed name, so that the command that is shown in
//! a plan is the one that runs; what a killed run left of it is removed first.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bareon_host::{Cmd, Runner, xorriso};

use super::{ConfigDriveError, Format, Rendered, vfat};
use crate::{objects::Bytes, steps::folder};

/// The volume label by which cloud-init finds its data source `NoCloud`.
const LABEL: &str = "cidata";

/// The date of all that is on the drive, 2000-01-01 in seconds since 1970: the same input gives
/// the same bytes.
const EPOCH: u64 = 946_684_800;

/// What the name of an image ends in while it is made.
const UNFINISHED: &str = "unfinished";

/// All files that a drive may have.
pub(super) const FILES: [&str; 3] = ["user-data", "meta-data", "network-config"];

/// The folder in `tmp` where the drive's files are laid out.
pub fn staging(tmp: &Path) -> PathBuf {
    tmp.join("bareon-config-drive")
}

/// The files of the drive in `staging`.
fn tree(staging: &Path) -> PathBuf {
    staging.join("tree")
}

/// Where in `staging` the image `path` is made.
fn made_in(staging: &Path, path: &Path) -> PathBuf {
    staging.join(unfinished(Path::new(path.file_name().unwrap_or_default())))
}

/// The commands that make the image of the files in `staging`, which is then moved to `path`; none for FAT.
pub fn commands(host: &dyn Runner, path: &Path, staging: &Path, format: Format) -> Vec<Cmd> {
    match format {
        Format::Iso => {
            let made = made_in(staging, path);
            vec![xorriso::mkisofs(xorriso::maker(host), LABEL, EPOCH, &tree(staging), &made)]
        }
        Format::Vfat(_) => Vec::new(),
    }
}

/// Makes the image `path` of `rendered`, over one that is there; `tmp` is the folder for what is
/// needed meanwhile.
///
/// # Errors
/// Files that cannot be written, a command that fails, an image of more than `max`. Nothing is left
/// then but what was at `path` before.
pub fn write(
    host: &dyn Runner,
    rendered: &Rendered,
    path: &Path,
    tmp: &Path,
    max: Bytes,
    format: Format,
) -> Result<(), ConfigDriveError> {
    let staging = staging(tmp);
    clear(&staging)?;
    let made = make(host, rendered, path, &staging, max, format);
    let cleared = clear(&staging);
    match (made, cleared) {
        (Err(error), Err(later)) => {
            tracing::warn!("{later}");
            Err(error)
        }
        (made, cleared) => made.and(cleared),
    }
}

/// Looks whether `path` can be used as a config drive as it is, and says its size.
///
/// # Errors
/// There is none, it cannot be looked at, or it has more than `max`.
pub fn check(path: &Path, max: Bytes) -> Result<Bytes, ConfigDriveError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(ConfigDriveError::Io {
                doing: "looking at the config drive",
                path: path.into(),
                source: e,
            });
        }
        _ => return Err(ConfigDriveError::Absent { path: path.into() }),
    };
    let size = Bytes(metadata.len());
    if size > max {
        return Err(ConfigDriveError::TooLarge { path: path.into(), size, max });
    }
    Ok(size)
}

/// Looks whether the ready-made drive `path` can be mounted from a disk with logical sectors of `sector`: a file
/// system that is neither ISO 9660 nor FAT is somebody's own affair.
///
/// # Errors
/// When its blocks are smaller than that, or it cannot be read.
pub fn check_sectors(path: &Path, sector: Bytes) -> Result<(), ConfigDriveError> {
    /// Where ISO 9660 has its first descriptor, with `CD001` from its second byte on (ECMA-119, 6.2.1 and 8.1).
    const DESCRIPTOR: usize = 32768;
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(DESCRIPTOR as u64 + 6).read_to_end(&mut head))
        .map_err(failed("reading the config drive", path))?;
    let at = |from: usize, to: usize| head.get(from..to).unwrap_or_default();
    let fat = (at(54, 57) == b"FAT" || at(82, 85) == b"FAT") && at(510, 512) == [0x55, 0xAA];
    let fat_sector = at(11, 13).try_into().map_or(0, u16::from_le_bytes);
    let format =
        if at(DESCRIPTOR + 1, DESCRIPTOR + 6) == b"CD001" && Format::on(sector).ok() != Some(Format::Iso) {
            "ISO 9660"
        } else if fat && u64::from(fat_sector) < sector.0 {
            "FAT with smaller sectors"
        } else {
            return Ok(());
        };
    Err(ConfigDriveError::OtherSectors { path: path.into(), format, sector })
}

fn make(
    host: &dyn Runner,
    rendered: &Rendered,
    path: &Path,
    staging: &Path,
    max: Bytes,
    format: Format,
) -> Result<(), ConfigDriveError> {
    make_folder(staging)?;
    let made = made_in(staging, path);
    match format {
        Format::Iso => lay_out(rendered, staging)?,
        Format::Vfat(sector) => {
            let written = vfat::image(rendered, sector).and_then(|image| write_new(&made, &image).map(drop));
            written.map_err(failed("making the config drive's image", &made))?;
        }
    }
    for cmd in commands(host, path, staging, format) {
        host.run(&cmd)?;
    }
    check(&made, max)?;
    fs::set_permissions(&made, Permissions::from_mode(0o600)).map_err(failed("protecting", &made))?;
    match fs::rename(&made, path) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(&made, path),
        renamed => renamed,
    }
    .map_err(failed("putting the finished config drive to", path))
}

/// Puts a copy of `made` into the place of `path`, which lies on another file system.
fn copy(made: &Path, path: &Path) -> io::Result<()> {
    let unfinished = unfinished(path);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Made anew: what others put there meanwhile, such as a link, is not written to.
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let copied = File::open(made)
        .and_then(|mut made| io::copy(&mut made, &mut copy))
        .and_then(|_| copy.sync_all())
        .and_then(|()| fs::rename(&unfinished, path));
    if copied.is_err() {
        // Not more than an attempt: the first error is the one to report.
        let _ = fs::remove_file(&unfinished);
    }
    copied
}

fn lay_out(rendered: &Rendered, staging: &Path) -> Result<(), ConfigDriveError> {
    let tree = tree(staging);
    make_folder(&tree)?;
    let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH);
    let times = FileTimes::new().set_accessed(epoch).set_modified(epoch);
    for (name, text) in rendered.files() {
        let file = tree.join(name);
        let written = write_new(&file, text.as_bytes()).and_then(|file| file.set_times(times));
        written.map_err(failed("writing", &file))?;
    }
    File::open(&tree).and_then(|folder| folder.set_times(times)).map_err(failed("dating", &tree))
}

fn make_folder(dir: &Path) -> Result<(), ConfigDriveError> {
    DirBuilder::new().mode(0o700).create(dir).map_err(failed("making the folder", dir))
}

/// Makes a file for root alone.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Removes the folder of an earlier run: the files that such a run makes, nothing else, and only
/// in a folder that is ours, as others may write in `/tmp`.
fn clear(staging: &Path) -> Result<(), ConfigDriveError> {
    const DOING: &str = "removing what an earlier run left in";
    if !folder::is_ours(staging).map_err(failed(DOING, staging))? {
        return Ok(());
    }
    let tree = tree(staging);
    if folder::is_ours(&tree).map_err(failed(DOING, staging))? {
        for name in FILES {
            remove(&tree.join(name))?;
        }
        fs::remove_dir(&tree).map_err(failed(DOING, &tree))?;
    }
    for entry in fs::read_dir(staging).map_err(failed(DOING, staging))?.filter_map(Result::ok) {
        let image = entry.path();
        if image.extension().is_some_and(|ext| ext == UNFINISHED) {
            remove(&image)?;
        }
    }
    fs::remove_dir(staging).map_err(failed(DOING, staging))
}

fn remove(file: &Path) -> Result<(), ConfigDriveError> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("removing", file)(e)),
        _ => Ok(()),
    }
}

/// The name under which the image is made.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(UNFINISHED);
    name.into()
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ConfigDriveError {
    let path = path.to_path_buf();
    move |source| ConfigDriveError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use bareon_host::{Cmd, CommandError, Output, Script, Tool};

    use super::*;

    fn rendered() -> Rendered {
        Rendered { user_data: "u".into(), meta_data: "m".into(), network_config: None }
    }

    #[test]
    fn the_command_of_a_plan_names_where_it_reads_and_writes() {
        let shown = commands(
            &Script::default(),
            Path::new("/tmp/config-drive.img"),
            &staging(Path::new("/tmp")),
            Format::Iso,
        );
        let shown: Vec<String> = shown.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["SOURCE_DATE_EPOCH=946684800 xorriso -as mkisofs -quiet -V cidata -J -R -uid 0 -gid 0 \
              -o /tmp/bareon-config-drive/config-drive.img.unfinished /tmp/bareon-config-drive/tree"]
        );
    }

    #[test]
    fn nobody_else_can_read_what_is_laid_out() {
        let tmp = tempfile::tempdir().unwrap();
        let staging = staging(tmp.path());
        make_folder(&staging).unwrap();
        lay_out(&rendered(), &staging).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&staging), 0o700);
        assert_eq!(mode(&tree(&staging).join("user-data")), 0o600);
        assert!(!tree(&staging).join("network-config").exists());
        fs::write(made_in(&staging, Path::new("/x/drive")), "left by a run that was killed").unwrap();
        clear(&staging).unwrap();
        assert!(!staging.exists());
    }

    #[test]
    fn a_command_that_fails_leaves_nothing() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("drive");
        let line = commands(&Script::default(), &path, &staging(tmp.path()), Format::Iso)[0].to_string();
        let host = Script::default().fails(&line, 5, "no space left on device");
        let error = write(&host, &rendered(), &path, tmp.path(), Bytes(1 << 20), Format::Iso).unwrap_err();
        assert!(matches!(error, ConfigDriveError::Command(_)), "{error}");
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 0);
    }

    /// Makes an image that all may read, as xorriso does.
    struct Maker;

    impl Runner for Maker {
        fn run(&self, cmd: &Cmd) -> Result<Output, CommandError> {
            let iso = cmd.arguments().iter().skip_while(|arg| *arg != "-o").nth(1).unwrap();
            fs::write(iso, "image").unwrap();
            fs::set_permissions(iso, Permissions::from_mode(0o644)).unwrap();
            Ok(Output { status: 0, stdout: String::new(), stderr: String::new() })
        }

        fn has(&self, _: Tool) -> bool {
            true
        }
    }

    #[test]
    fn only_root_can_read_the_image_and_links_in_its_place_are_not_followed() {
        let tmp = tempfile::tempdir().unwrap();
        let (path, precious) = (tmp.path().join("drive"), tmp.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        let other_file_system = || -> io::Result<()> {
            let made = tmp.path().join("made");
            fs::write(&made, "image")?;
            copy(&made, &path)?;
            fs::remove_file(made)
        };
        let renamed = || write(&Maker, &rendered(), &path, tmp.path(), Bytes(100), Format::Iso).unwrap();
        for make in [&renamed as &dyn Fn(), &|| other_file_system().unwrap()] {
            for planted in [path.clone(), unfinished(&path)] {
                let _ = fs::remove_file(&planted);
                std::os::unix::fs::symlink(&precious, planted).unwrap();
            }
            make();
            assert_eq!(fs::read_to_string(&path).unwrap(), "image");
            let found = fs::symlink_metadata(&path).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        }
        assert!(!staging(tmp.path()).exists() && !unfinished(&path).exists());
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_not_followed() {
        let tmp = tempfile::tempdir().unwrap();
        let elsewhere = tmp.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("user-data"), "precious").unwrap();
        std::os::unix::fs::symlink(&elsewhere, staging(tmp.path())).unwrap();
        let path = tmp.path().join("drive");
        let error = write(&Script::default(), &rendered(), &path, tmp.path(), Bytes(1 << 20), Format::Iso)
            .unwrap_err();
        assert!(matches!(error, ConfigDriveError::Io { .. }), "{error}");
        assert_eq!(fs::read_to_string(elsewhere.join("user-data")).unwrap(), "precious");
    }

    #[test]
    fn fat_needs_no_program_and_is_told_from_what_such_a_disk_cannot_mount() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("drive");
        write(&Script::default(), &rendered(), &path, tmp.path(), Bytes(1 << 21), Format::Vfat(4096))
            .unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!staging(tmp.path()).exists());
        check_sectors(&path, Bytes(4096)).unwrap();
        fs::write(&path, vfat::image(&rendered(), 512).unwrap()).unwrap();
        let error = check_sectors(&path, Bytes(4096)).unwrap_err().to_string();
        assert!(error.contains("FAT with smaller sectors") && error.contains("mkfs.vfat -S 4096"), "{error}");
        check_sectors(&path, Bytes(512)).unwrap();
        let mut iso = vec![0; 40000];
        iso[32769..32774].copy_from_slice(b"CD001");
        fs::write(&path, iso).unwrap();
        let error = check_sectors(&path, Bytes(4096)).unwrap_err().to_string();
        assert!(
            error.contains("is ISO 9660, which cannot be mounted from a disk with sectors of 4096"),
            "{error}"
        );
        check_sectors(&path, Bytes(512)).unwrap();
        fs::write(&path, "short").unwrap();
        check_sectors(&path, Bytes(4096)).unwrap();
    }
}
