//! Which regions of a disk hold what an undo needs: tables, superblocks, labels, heads of file systems.
//!
//! They are found by what lies there, not by what the system says of it, as an array that is not assembled has a
//! superblock, too:
//! - tables: the beginning of the disk up to its first partition and the end beyond the last (GPT and its backup, master
//!   boot record with what a boot loader put behind it), and the boot records that chain logical partitions;
//! - of each partition, or of a disk without any, the beginning and the end, which hold the superblocks of md at either
//!   end, LVM's labels, and all signatures that `wipefs` knows;
//! - within an array's member the same of the area that holds its data: what lies on the array begins and ends there,
//!   whatever its level (formats: `mdp_superblock_1` in the kernel's `md_p.h`);
//! - LVM's metadata where its label says (formats: `lib/format_text/layout.h` of LVM);
//! - where new partitions will begin and end, since old signatures are removed from there.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::index::Part;

/// How much of a beginning and of an end is saved, in bytes: zfs's labels are the longest that `wipefs` looks into.
pub(super) const EDGE: u64 = 512 << 10;

/// How far a table and a boot loader behind it reach, in bytes.
const TABLE: u64 = 1 << 20;

/// How much of a metadata area of LVM is saved; of a larger one, its header and the current metadata.
const METADATA: u64 = 2 << 20;

/// The kernel's sectors, in which md and LVM count.
const SECTOR: u64 = 512;

/// How many logical partitions are followed; a chain that is longer is a circle.
const LOGICAL: usize = 256;

/// A region that is to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) what: String,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) part: Option<Part>,
}

/// A disk as it is read.
#[derive(Debug)]
pub(super) struct Disk<'a> {
    pub(super) file: &'a File,
    /// Its length in bytes.
    pub(super) size: u64,
    /// The size of its logical sectors in bytes.
    pub(super) sector: u64,
    /// Its node.
    pub(super) device: &'a str,
}

impl Disk<'_> {
    /// The regions of the disk with these partitions, where new ones will lie at `new` (offset and length).
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn regions(&self, parts: &[Part], new: &[(u64, u64)]) -> io::Result<Vec<Wanted>> {
        if parts.is_empty() {
            let whole = Part { device: self.device.into(), offset: 0, length: self.size };
            return self.part(&whole);
        }
        let mut found = self.tables(parts)?;
        for part in parts {
            found.extend(self.part(part)?);
        }
        for (offset, length) in new {
            // What was there belongs to the old partition, if one was.
            let old = |at: u64| parts.iter().find(|part| part.offset <= at && at < part.offset + part.length);
            let end = offset.saturating_add(*length);
            for at in [*offset, end.saturating_sub(EDGE)] {
                self.add(&mut found, "where a new partition lies", at, EDGE, old(at));
            }
        }
        Ok(found)
    }

    /// Adds a region, as far as it lies on the disk.
    fn add(&self, found: &mut Vec<Wanted>, what: &str, offset: u64, length: u64, part: Option<&Part>) {
        let length = length.min(self.size.saturating_sub(offset));
        let known =
            |wanted: &&Wanted| wanted.offset <= offset && offset + length <= wanted.offset + wanted.length;
        if length > 0 && !found.iter().any(|wanted| known(&wanted)) {
            found.push(Wanted { what: what.into(), offset, length, part: part.cloned() });
        }
    }

    fn tables(&self, parts: &[Part]) -> io::Result<Vec<Wanted>> {
        let mut found = Vec::new();
        let first = parts.iter().map(|part| part.offset).min().unwrap_or(TABLE).min(TABLE);
        let last = parts.iter().map(|part| part.offset.saturating_add(part.length)).max().unwrap_or(0);
        let tail = last.max(self.size.saturating_sub(TABLE));
        self.add(&mut found, "partition table", 0, first, None);
        self.add(&mut found, "end of the disk", tail, self.size.saturating_sub(tail), None);
        for record in self.boot_records()? {
            self.add(&mut found, "boot record of a logical partition", record, self.sector, None);
        }
        Ok(found)
    }

    /// Where the boot records of logical partitions lie.
    fn boot_records(&self) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        let Some(extended) = links(&self.read(0, SECTOR)?).into_iter().next() else { return Ok(found) };
        let extended = extended.saturating_mul(self.sector);
        let mut next = Some(extended);
        while let Some(at) = next.filter(|at| *at < self.size && !found.contains(at) && found.len() < LOGICAL)
        {
            found.push(at);
            let link = links(&self.read(at, SECTOR)?).into_iter().next();
            next = link.map(|link| extended.saturating_add(link.saturating_mul(self.sector)));
        }
        Ok(found)
    }

    /// The regions of a partition.
    fn part(&self, part: &Part) -> io::Result<Vec<Wanted>> {
        let mut found = Vec::new();
        self.area(&mut found, part, (part.offset, part.length), "")?;
        Ok(found)
    }

    /// The regions of an area within `part`: the partition itself, or what of it holds an array's data.
    fn area(&self, found: &mut Vec<Wanted>, part: &Part, area: (u64, u64), within: &str) -> io::Result<()> {
        let (begin, length) = area;
        let end = begin.saturating_add(length).min(self.size);
        let what = |what: &str| format!("{what} of {}{within}", part.device);
        self.add(found, &what("beginning"), begin, EDGE.min(length), Some(part));
        self.add(found, &what("end"), end.saturating_sub(EDGE.min(length)), EDGE.min(length), Some(part));
        for (offset, length) in self.lvm_metadata(begin)? {
            self.add(found, &what("LVM metadata"), offset, length, Some(part));
        }
        if within.is_empty()
            && let Some((offset, length)) = self.md_data(begin, length)?
            && offset > 0
        {
            self.area(found, part, (begin.saturating_add(offset), length), ", array data")?;
        }
        Ok(())
    }

    /// Where an array's data lies in its member at `begin`, relative to that, by a superblock of version 1.
    fn md_data(&self, begin: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
        /// `MD_SB_MAGIC`.
        const MAGIC: u32 = 0xa92b_4efc;
        let last = ((length / SECTOR).saturating_sub(16) & !7) * SECTOR;
        for at in [4096, 0, last] {
            let superblock = self.read(begin.saturating_add(at), SECTOR)?;
            if u32_at(&superblock, 0) == MAGIC && u32_at(&superblock, 4) == 1 {
                let (offset, size) = (u64_at(&superblock, 128), u64_at(&superblock, 136));
                return Ok(Some((offset.saturating_mul(SECTOR), size.saturating_mul(SECTOR))));
            }
        }
        Ok(None)
    }

    /// Where LVM's metadata lies, if there is a label at `begin`.
    fn lvm_metadata(&self, begin: u64) -> io::Result<Vec<(u64, u64)>> {
        let labels = self.read(begin, 4 * SECTOR)?;
        let label = labels.chunks(512).find(|sector| sector.starts_with(b"LABELONE"));
        let Some(label) = label.filter(|label| label.get(24..32) == Some(b"LVM2 001".as_slice())) else {
            return Ok(Vec::new());
        };
        // After UUID and size of the volume come two lists: areas of data, areas of metadata; a zero ends each.
        let header = usize::try_from(u32_at(label, 20)).unwrap_or(usize::MAX).saturating_add(40);
        let mut lists = (header..label.len().saturating_sub(15))
            .step_by(16)
            .map(|at| (u64_at(label, at), u64_at(label, at + 8)));
        let _data = lists.by_ref().take_while(|(offset, _)| *offset != 0).count();
        let mut found = Vec::new();
        for (offset, size) in lists.take_while(|(offset, _)| *offset != 0) {
            let offset = begin.saturating_add(offset);
            if size <= METADATA {
                found.push((offset, size));
                continue;
            }
            let area = self.read(offset, SECTOR)?;
            let (text, length) = (u64_at(&area, 40), u64_at(&area, 48).min(METADATA));
            found.extend([(offset, 4096), (offset.saturating_add(text), length)]);
            // The area is a ring: what runs over its end goes on behind its header.
            if text.saturating_add(length) > size {
                found.push((offset, (4096 + length).min(size)));
            }
        }
        Ok(found)
    }

    /// Reads `length` bytes; zeros beyond the end of the disk.
    fn read(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let mut done = 0;
        while done < bytes.len() && offset < self.size {
            match self.file.read_at(&mut bytes[done..], offset + done as u64)? {
                0 => break,
                read => done += read,
            }
        }
        Ok(bytes)
    }
}

/// Where the extended partitions, or the next boot records, of a boot record begin, in sectors.
fn links(record: &[u8]) -> Vec<u64> {
    /// The types of extended partitions: CHS, LBA, Linux.
    const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
    if record.get(510..512) != Some(&[0x55, 0xaa]) {
        return Vec::new();
    }
    record[446..510]
        .chunks_exact(16)
        .filter(|entry| EXTENDED.contains(&entry[4]))
        .map(|entry| u64::from(u32_at(entry, 8)))
        .collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn disk(pieces: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(200 * MIB).unwrap();
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset).unwrap();
        }
        file
    }

    fn regions(file: &File, parts: &[(u64, u64)], new: &[(u64, u64)]) -> Vec<(String, u64, u64)> {
        let part = |(i, (offset, length)): (usize, &(u64, u64))| Part {
            device: format!("p{}", i + 1),
            offset: *offset,
            length: *length,
        };
        let parts: Vec<_> = parts.iter().enumerate().map(part).collect();
        let disk = Disk { file, size: 200 * MIB, sector: 512, device: "disk" };
        let found = disk.regions(&parts, new).unwrap();
        found.into_iter().map(|wanted| (wanted.what, wanted.offset, wanted.length)).collect()
    }

    #[test]
    fn tables_reach_up_to_the_partitions_and_no_further() {
        let file = disk(&[]);
        let found = regions(&file, &[(63 * 512, 10 * MIB), (20 * MIB, 180 * MIB)], &[]);
        assert_eq!(found[0], ("partition table".into(), 0, 63 * 512));
        assert!(found.iter().all(|(what, ..)| what != "end of the disk"), "{found:?}");
        let found = regions(&file, &[(MIB, 10 * MIB)], &[]);
        assert_eq!(
            found[..2],
            [("partition table".into(), 0, MIB), ("end of the disk".into(), 199 * MIB, MIB)]
        );
        assert_eq!(
            found[2..],
            [("beginning of p1".into(), MIB, EDGE), ("end of p1".into(), 11 * MIB - EDGE, EDGE)]
        );
    }

    #[test]
    fn an_array_is_saved_where_its_member_has_its_data() {
        let mut superblock = [0; 256];
        superblock[..8].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]);
        superblock[128..136].copy_from_slice(&(2 * MIB / 512).to_le_bytes());
        superblock[136..144].copy_from_slice(&(30 * MIB / 512).to_le_bytes());
        let last = MIB + 40 * MIB - 8192;
        for at in [MIB, MIB + 4096, last] {
            let found = regions(&disk(&[(at, &superblock)]), &[(MIB, 40 * MIB)], &[]);
            let inner: Vec<_> = found.iter().filter(|(what, ..)| what.ends_with("array data")).collect();
            assert_eq!(
                (inner[0].1, inner[1].1, inner.len()),
                (3 * MIB, 33 * MIB - EDGE, 2),
                "{at}: {found:?}"
            );
        }
    }

    #[test]
    fn metadata_of_lvm_is_found_by_its_label_also_where_the_area_is_a_ring() {
        let mut label = [0; 512];
        label[..8].copy_from_slice(b"LABELONE");
        label[20..24].copy_from_slice(&32_u32.to_le_bytes());
        label[24..32].copy_from_slice(b"LVM2 001");
        let lists = [(64 * MIB, 0), (0, 0), (4096, MIB), (70 * MIB, 28 * MIB), (0, 0)];
        for (i, (offset, size)) in lists.iter().enumerate() {
            let at = 32 + 40 + i * 16;
            label[at..at + 8].copy_from_slice(&u64::to_le_bytes(*offset));
            label[at + 8..at + 16].copy_from_slice(&u64::to_le_bytes(*size));
        }
        let mut header = [0; 64];
        header[40..48].copy_from_slice(&(28 * MIB - 1024).to_le_bytes());
        header[48..56].copy_from_slice(&4096_u64.to_le_bytes());
        let file = disk(&[(MIB + 512, &label), (71 * MIB, &header)]);
        let found = regions(&file, &[(MIB, 100 * MIB)], &[]);
        let found: Vec<_> = found
            .into_iter()
            .filter(|(what, ..)| what.starts_with("LVM"))
            .map(|(_, offset, length)| (offset, length))
            .collect();
        let ring = 71 * MIB;
        let expected = [(MIB + 4096, MIB), (ring, 4096), (ring + 28 * MIB - 1024, 4096), (ring, 8192)];
        assert_eq!(found, expected);
    }

    #[test]
    fn where_a_new_partition_lies_within_an_old_one_is_saved_as_a_part_of_that() {
        let file = disk(&[]);
        let found = regions(&file, &[(MIB, 100 * MIB)], &[(50 * MIB, 10 * MIB), (150 * MIB, 10 * MIB)]);
        let places: Vec<_> = found.iter().skip(4).map(|(_, offset, _)| *offset).collect();
        assert_eq!(places, [50 * MIB, 60 * MIB - EDGE, 150 * MIB, 160 * MIB - EDGE]);
    }

    #[test]
    fn a_chain_of_boot_records_that_is_a_circle_ends() {
        let record = |links: &[(u8, u32)]| {
            let mut record = [0; 512];
            for (i, (kind, start)) in links.iter().enumerate() {
                record[446 + i * 16 + 4] = *kind;
                record[446 + i * 16 + 8..446 + i * 16 + 12].copy_from_slice(&start.to_le_bytes());
            }
            record[510..].copy_from_slice(&[0x55, 0xaa]);
            record
        };
        let (mbr, first, second) =
            (record(&[(0x83, 2048), (0x0f, 4096)]), record(&[(0x83, 2), (5, 100)]), record(&[(5, 0)]));
        let file = disk(&[(0, &mbr), (4096 * 512, &first), (4196 * 512, &second)]);
        let found = regions(&file, &[(MIB, MIB)], &[]);
        let records: Vec<_> =
            found.iter().filter(|(what, ..)| what.starts_with("boot record")).map(|found| found.1).collect();
        assert_eq!(records, [4096 * 512, 4196 * 512]);
    }
}
