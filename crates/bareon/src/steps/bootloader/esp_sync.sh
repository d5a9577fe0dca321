#!/bin/sh
# Keeps the EFI system partitions of this system's disks alike, so that it boots from any of them. An update of the boot
# loader changes the one at /boot/efi; what is newer there is copied to the others, and the other way round, as the disk
# of the first may have been away for a while. Nothing is removed. Written when this system was installed; bareon-esp-sync.path
# and .timer start it. The file systems by their UUIDs (see blkid); one on a disk that was replaced is to be put in here:
partitions="@UUIDS@"

main=/boot/efi
if ! mountpoint -q "$main"; then
    # The disk of the one that fstab names is gone: another one takes its place until the next boot.
    for uuid in $partitions; do
        [ ! -e "/dev/disk/by-uuid/$uuid" ] || ! mount -t vfat -o umask=0077 "/dev/disk/by-uuid/$uuid" "$main" || break
    done
    mountpoint -q "$main" || exit 0
fi
main_uuid=$(findmnt -n -o UUID "$main")
other=$(mktemp -d /run/esp-sync.XXXXXX) || exit 1
failed=0

# newer FROM TO copies the files that TO lacks or has an older version of, each whole or not at all.
newer() {
    [ -d "$1/EFI" ] || return 0
    (cd "$1" && find EFI -type f) | while IFS= read -r file; do
        if [ ! -e "$2/$file" ] || { [ "$1/$file" -nt "$2/$file" ] && ! cmp -s "$1/$file" "$2/$file"; }; then
            mkdir -p "$2/${file%/*}" && cp -p "$1/$file" "$2/$file.new" && sync "$2/$file.new" &&
                mv -f "$2/$file.new" "$2/$file" && echo "copied $1/$file to $2" || exit 1
        fi
    done
}

for uuid in $partitions; do
    [ "$uuid" != "$main_uuid" ] && [ -e "/dev/disk/by-uuid/$uuid" ] || continue
    mount -t vfat -o umask=0077 "/dev/disk/by-uuid/$uuid" "$other" || { failed=1; continue; }
    newer "$main" "$other" || failed=1
    newer "$other" "$main" || failed=1
    umount "$other" || failed=1
done
rmdir "$other"
exit "$failed"
