use super::*;
use std::io::ErrorKind;
use tempfile::{TempDir, tempdir};

fn entry(name: &str, is_dir: bool) -> Entry {
    let name = name.to_owned();
    Entry { name, is_dir }
}

/// A directory with the file `a`, which has these bytes.
fn with_file(bytes: &[u8]) -> (TempDir, Arc<dyn DiskFile>) {
    let dir = tempdir().unwrap();
    let file = FileSystem.create(&dir.path().join("a")).unwrap();
    file.write_at(bytes, 0).unwrap();
    (dir, file)
}

#[test]
fn create_refuses_a_file_that_exists() {
    let (dir, _) = with_file(b"abc");
    let path = dir.path().join("a");
    let error = FileSystem.create(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"abc");
}

#[test]
fn open_finds_a_file_and_creates_none() {
    let (dir, _) = with_file(b"abc");
    for for_writing in [false, true] {
        let file = FileSystem.open(&dir.path().join("a"), for_writing).unwrap();
        let mut out = [0; 3];
        assert_eq!(file.read_at(&mut out, 0).unwrap(), 3);
        assert_eq!(&out, b"abc");
        assert_eq!(file.write_at(b"x", 0).is_ok(), for_writing);
        let error = FileSystem.open(&dir.path().join("b"), for_writing);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(
        FileSystem.list(dir.path()).unwrap(),
        [entry("a", false)],
        "no file was created"
    );
}

#[test]
fn a_write_goes_where_it_should() {
    let (dir, file) = with_file(b"abcdef");
    file.write_at(b"XY", 2).unwrap();
    file.write_at(b"", 100).unwrap();
    file.write_at(b"z", 8).unwrap();
    file.sync().unwrap();
    FileSystem.sync_dir(dir.path()).unwrap();
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"abXYef\0\0z");
    assert_eq!(file.len().unwrap(), 9);
}

#[test]
fn a_read_is_short_only_at_the_end_of_the_file() {
    let (_dir, file) = with_file(b"abcdef");
    let mut out = *b"........";
    assert_eq!(file.read_at(&mut out, 2).unwrap(), 4);
    assert_eq!(&out, b"cdef....");
    assert_eq!(file.read_at(&mut out[..3], 0).unwrap(), 3);
    assert_eq!(&out, b"abcf....");
    assert_eq!(file.read_at(&mut out, 6).unwrap(), 0);
    assert_eq!(file.read_at(&mut out, 1 << 40).unwrap(), 0);
    assert_eq!(file.read_at(&mut [], 0).unwrap(), 0);
}

/// The result of a call that a signal has interrupted.
const INTERRUPTED: Result<usize, ErrorKind> = Err(ErrorKind::Interrupted);

#[test]
fn a_write_goes_on_after_a_part_and_after_a_signal() {
    let write = |results: &[Result<usize, ErrorKind>]| {
        let (mut written, mut results) = ([0; 10], results.iter());
        let done = write_fully(b"abcdef", 2, |bytes, at| {
            let some = (*results.next().unwrap())?;
            written[at as usize..][..some].copy_from_slice(&bytes[..some]);
            Ok(some)
        });
        assert_eq!(results.len(), 0);
        (done.map_err(|error| error.kind()), written)
    };
    let all = (Ok(()), *b"\0\0abcdef\0\0");
    assert_eq!(write(&[Ok(6)]), all);
    assert_eq!(write(&[INTERRUPTED, Ok(1), INTERRUPTED, Ok(2), Ok(3)]), all);
    let full = Err(ErrorKind::StorageFull);
    let part = *b"\0\0abcd\0\0\0\0";
    assert_eq!(write(&[Ok(4), full]), (Err(ErrorKind::StorageFull), part));
    assert_eq!(write(&[Ok(4), Ok(0)]), (Err(ErrorKind::WriteZero), part));
}

#[test]
fn a_read_goes_on_after_a_part_and_after_a_signal() {
    let read = |results: &[Result<usize, ErrorKind>]| {
        let (mut out, mut results) = (*b"......", results.iter());
        let done = read_fully(&mut out, 2, |out, at| {
            let some = (*results.next().unwrap())?;
            out[..some].copy_from_slice(&b"..abcdef"[at as usize..][..some]);
            Ok(some)
        });
        assert_eq!(results.len(), 0);
        (done.map_err(|error| error.kind()), out)
    };
    let all = (Ok(6), *b"abcdef");
    assert_eq!(read(&[Ok(6)]), all);
    assert_eq!(read(&[INTERRUPTED, Ok(1), INTERRUPTED, Ok(2), Ok(3)]), all);
    assert_eq!(read(&[Ok(1), Ok(3), Ok(0)]), (Ok(4), *b"abcd.."));
    let failed = Err(ErrorKind::Other);
    assert_eq!(read(&[Ok(4), failed]), (failed, *b"abcd.."));
}

#[test]
fn set_len_cuts_and_fills_with_zeros() {
    let (dir, file) = with_file(b"abcdef");
    file.set_len(2).unwrap();
    assert_eq!(file.len().unwrap(), 2);
    file.set_len(5).unwrap();
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"ab\0\0\0");
}

#[test]
fn allocate_makes_the_file_long_and_cuts_nothing() {
    let (dir, file) = with_file(b"abcdef");
    for len in [0, 3, 6] {
        file.allocate(len).unwrap();
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"abcdef");
    }
    file.allocate(10_000).unwrap();
    let bytes = fs::read(dir.path().join("a")).unwrap();
    assert_eq!((bytes.len(), &bytes[..6]), (10_000, &b"abcdef"[..]));
    assert!(bytes[6..].iter().all(|&byte| byte == 0));
}

#[test]
fn where_room_cannot_be_reserved_the_file_is_made_longer_and_never_shorter() {
    let dir = tempdir().unwrap();
    let file = SystemFile(File::create(dir.path().join("a")).unwrap());
    for (len, expected) in [(0, 0), (10, 10), (3, 10), (10, 10), (11, 11)] {
        file.lengthen(len).unwrap();
        assert_eq!(file.len().unwrap(), expected);
    }
}

/// On a file system that reserves: the others have no more to show than the length.
#[cfg(target_os = "linux")]
#[test]
fn allocate_reserves_room_also_in_a_file_that_is_long_enough() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempdir().unwrap();
    let path = dir.path().join("a");
    let file = SystemFile(File::create(&path).unwrap());
    let reserves = file.reserve(4096).unwrap();
    file.set_len(1 << 20).unwrap();
    file.allocate(1 << 20).unwrap();
    let reserved = fs::metadata(&path).unwrap().blocks() * 512 >= 1 << 20;
    assert_eq!(reserved, reserves);
}

#[test]
fn a_directory_lists_its_names_sorted() {
    let dir = tempdir().unwrap();
    for name in ["c", "a"] {
        FileSystem.create(&dir.path().join(name)).unwrap();
    }
    FileSystem.create_dir(&dir.path().join("b/d/e")).unwrap();
    FileSystem.create_dir(&dir.path().join("b/d")).unwrap();
    let expected = [entry("a", false), entry("b", true), entry("c", false)];
    assert_eq!(FileSystem.list(dir.path()).unwrap(), expected);
    let error = FileSystem.list(&dir.path().join("x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_directory_is_a_directory() {
    use std::os::unix::fs::symlink;
    let dir = tempdir().unwrap();
    FileSystem.create_dir(&dir.path().join("dir")).unwrap();
    FileSystem.create(&dir.path().join("file")).unwrap();
    for (to, name) in [("dir", "to-dir"), ("file", "to-file"), ("x", "to-x")] {
        symlink(to, dir.path().join(name)).unwrap();
    }
    let expected = [
        entry("dir", true),
        entry("file", false),
        entry("to-dir", true),
        entry("to-file", false),
        entry("to-x", false),
    ];
    assert_eq!(FileSystem.list(dir.path()).unwrap(), expected);
}

#[test]
fn a_rename_replaces_what_has_the_name() {
    let (dir, file) = with_file(b"abc");
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    FileSystem.create(&to).unwrap().write_at(b"old", 0).unwrap();
    drop(file);
    FileSystem.rename(&from, &to).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"abc");
    let error = FileSystem.rename(&from, &to).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn removing_takes_files_and_empty_directories() {
    let (dir, _) = with_file(b"abc");
    let inner = dir.path().join("inner");
    FileSystem.create_dir(&inner.join("x")).unwrap();
    let error = FileSystem.remove_dir(&inner).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
    FileSystem.remove_dir(&inner.join("x")).unwrap();
    FileSystem.remove_dir(&inner).unwrap();
    FileSystem.remove_file(&dir.path().join("a")).unwrap();
    assert!(FileSystem.list(dir.path()).unwrap().is_empty());
}

#[test]
fn a_lock_excludes_another_until_it_is_dropped() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("LOCK");
    let lock = FileSystem.lock(&path).unwrap();
    let error = FileSystem.lock(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    // Of another directory.
    FileSystem.lock(&dir.path().join("OTHER")).unwrap();
    drop(lock);
    FileSystem.lock(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn a_file_that_was_removed_or_replaced_is_not_the_lock() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("LOCK");
    let file = File::create(&path).unwrap();
    assert!(is_named(&file, &path).unwrap());
    fs::remove_file(&path).unwrap();
    assert!(!is_named(&file, &path).unwrap());
    let other = File::create(&path).unwrap();
    assert!(!is_named(&file, &path).unwrap());
    assert!(is_named(&other, &path).unwrap());
}

/// `None` under Miri.
#[cfg(unix)]
fn map(file: &dyn DiskFile, len: u64) -> Option<crate::disk::Mapping> {
    let mapping = file.map(len).unwrap();
    assert_eq!(mapping.is_none(), cfg!(miri));
    mapping
}

#[cfg(unix)]
#[test]
fn a_mapping_shows_what_is_written_after_it_was_mapped() {
    let (dir, file) = with_file(b"abc");
    let Some(mapping) = map(&*file, 100_000) else {
        return;
    };
    assert_eq!(mapping.bytes(0, 3), Some(&b"abc"[..]));
    file.write_at(&[7; 50_000], 10_000).unwrap();
    assert_eq!(mapping.bytes(10_000, 50_000), Some(&[7; 50_000][..]));
    assert_eq!(
        mapping.words(10_000, 2),
        Some(&[0x0707_0707_0707_0707; 2][..])
    );
    // Without the file's name and handle.
    drop(file);
    FileSystem.remove_file(&dir.path().join("a")).unwrap();
    assert_eq!(mapping.bytes(59_999, 1), Some(&[7][..]));
}

#[cfg(unix)]
#[test]
fn a_mapping_lends_only_what_is_mapped() {
    let (_dir, file) = with_file(&[1; 64]);
    let Some(mapping) = map(&*file, 48) else {
        return;
    };
    assert_eq!(mapping.bytes(40, 8), Some(&[1; 8][..]));
    assert_eq!(mapping.bytes(48, 0), Some(&[][..]));
    for (at, len) in [(40, 9), (48, 1), (49, 0), (usize::MAX, 2), (2, usize::MAX)] {
        assert_eq!(mapping.bytes(at, len), None, "{len} bytes at {at}");
    }
    for (at, words) in [(4, 1), (48, 1), (0, 7), (8, usize::MAX / 4)] {
        assert_eq!(mapping.words(at, words), None, "{words} words at {at}");
    }
}

#[cfg(unix)]
#[test]
fn nothing_can_be_mapped() {
    let (_dir, file) = with_file(b"abc");
    let Some(mapping) = map(&*file, 0) else {
        return;
    };
    assert_eq!(mapping.bytes(0, 0), Some(&[][..]));
    assert_eq!(mapping.bytes(0, 1), None);
}

#[cfg(all(unix, target_pointer_width = "64"))]
#[test]
fn more_than_the_address_space_is_not_mapped() {
    let (_dir, file) = with_file(b"abc");
    if !cfg!(miri) {
        assert!(file.map(u64::MAX).is_err());
        assert!(file.map(1 << 63).is_err());
    }
}
