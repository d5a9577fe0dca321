//! A disk's partition table, read from its first sectors as the firmware reads it.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// How many entries a GPT has that nobody made larger.
const ENTRIES: usize = 128;

/// A disk, or a copy of its beginning.
pub trait Bytes {
    /// Reads `length` bytes from `offset` on.
    ///
    /// # Errors
    /// When they cannot be read, or are not there.
    fn bytes(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

impl Bytes for File {
    fn bytes(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

impl Bytes for Vec<u8> {
    fn bytes(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let begin = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = begin.checked_add(length).and_then(|end| self.get(begin..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A partition of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub number: u32,
    /// Its type: a GUID in capitals, or two digits of a master boot record.
    pub kind: String,
    /// Its first sector.
    pub first: u64,
    /// Its last sector.
    pub last: u64,
}

/// The table of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Whether it is a GPT, else it is in the master boot record.
    pub gpt: bool,
    /// The size of its sectors in bytes.
    pub sector: usize,
    /// The partitions; of a master boot record the primary ones and the extended one.
    pub parts: Vec<Part>,
}

impl Table {
    /// Reads the table of `disk`, with sectors of 512 or 4096 bytes.
    ///
    /// # Errors
    /// When the disk cannot be read, or there is no table.
    pub fn read(disk: &dyn Bytes) -> io::Result<Self> {
        for sector in [512, 4096] {
            let header = disk.bytes(sector as u64, 92)?;
            if header.starts_with(b"EFI PART") {
                return gpt(disk, sector, &header);
            }
        }
        let mbr = disk.bytes(0, 512)?;
        if mbr[510..] != [0x55, 0xaa] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there is no partition table"));
        }
        let entries = mbr[446..510].chunks_exact(16).zip(1..);
        let parts = entries.filter(|(entry, _)| entry[4] != 0).map(|(entry, number)| {
            let (first, count) = (u64::from(le32(entry, 8)), u64::from(le32(entry, 12)));
            Part { number, kind: format!("{:02X}", entry[4]), first, last: (first + count).saturating_sub(1) }
        });
        Ok(Self { gpt: false, sector: 512, parts: parts.collect() })
    }

    /// Reads the table of the disk `device`.
    ///
    /// # Errors
    /// When the disk cannot be read, or there is no table.
    pub fn of(device: &Path) -> io::Result<(Self, File)> {
        let disk = File::open(device)?;
        Ok((Self::read(&disk)?, disk))
    }
}

fn gpt(disk: &dyn Bytes, sector: usize, header: &[u8]) -> io::Result<Table> {
    let (begin, count, size) = (le64(header, 72), le32(header, 80) as usize, le32(header, 84) as usize);
    if size < 128 || size > sector {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the GPT's entries are of no known size"));
    }
    let length = count.min(ENTRIES) * size;
    let entries = disk.bytes(begin.saturating_mul(sector as u64), length)?;
    let parts = entries.chunks_exact(size).zip(1..).filter(|(entry, _)| entry[..16] != [0; 16]).map(
        |(entry, number)| Part {
            number,
            kind: guid(&entry[..16]),
            first: le64(entry, 32),
            last: le64(entry, 40),
        },
    );
    Ok(Table { gpt: true, sector, parts: parts.collect() })
}

/// A GUID as it is written: its first three fields have their lowest byte first.
fn guid(bytes: &[u8]) -> String {
    let field = |places: &[usize]| {
        let digits = |at: &usize| {
            [bytes[*at] >> 4, bytes[*at] & 15].map(|digit| char::from(b"0123456789ABCDEF"[digit as usize]))
        };
        places.iter().flat_map(digits).collect::<String>()
    };
    [&[3, 2, 1, 0][..], &[5, 4], &[7, 6], &[8, 9], &[10, 11, 12, 13, 14, 15]].map(field).join("-")
}

/// The number in four bytes, the lowest first; 0 beyond the end.
pub fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// The number in eight bytes, the lowest first; 0 beyond the end.
pub fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::partition::{BIOS_BOOT_GUID, ESP_GUID};

    /// The first sectors of a disk with a GPT and a partition of each of these types, 100 sectors each.
    pub fn disk(sector: usize, types: &[&str]) -> Vec<u8> {
        let mut disk = vec![0; 2048 * sector];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk[450] = 0xee;
        disk[sector..sector + 8].copy_from_slice(b"EFI PART");
        disk[sector + 72..sector + 80].copy_from_slice(&2u64.to_le_bytes());
        disk[sector + 80..sector + 84].copy_from_slice(&128u32.to_le_bytes());
        disk[sector + 84..sector + 88].copy_from_slice(&128u32.to_le_bytes());
        for (i, kind) in types.iter().enumerate() {
            let entry = 2 * sector + i * 128;
            let hex: Vec<u8> = kind
                .replace('-', "")
                .as_bytes()
                .chunks(2)
                .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
                .collect();
            for (to, from) in [3, 2, 1, 0, 5, 4, 7, 6].into_iter().chain(8..16).enumerate() {
                disk[entry + to] = hex[from];
            }
            let first = 100 + 100 * i as u64;
            disk[entry + 32..entry + 40].copy_from_slice(&first.to_le_bytes());
            disk[entry + 40..entry + 48].copy_from_slice(&(first + 99).to_le_bytes());
        }
        disk
    }

    #[test]
    fn a_gpt_is_read_whatever_the_sectors() {
        for sector in [512, 4096] {
            let table = Table::read(&disk(sector, &[BIOS_BOOT_GUID, ESP_GUID])).unwrap();
            assert!(table.gpt && table.sector == sector);
            assert_eq!(table.parts[1], Part { number: 2, kind: ESP_GUID.into(), first: 200, last: 299 });
            assert_eq!(table.parts[0].kind, BIOS_BOOT_GUID);
        }
    }

    #[test]
    fn a_master_boot_record_is_read_and_nothing_is_told() {
        let mut disk = vec![0; 8192];
        assert!(Table::read(&disk).unwrap_err().to_string().contains("no partition table"));
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk[466] = 0xfd;
        disk[470..474].copy_from_slice(&2048u32.to_le_bytes());
        disk[474..478].copy_from_slice(&100u32.to_le_bytes());
        let table = Table::read(&disk).unwrap();
        assert_eq!(table.parts, [Part { number: 2, kind: "FD".into(), first: 2048, last: 2147 }]);
    }
}
