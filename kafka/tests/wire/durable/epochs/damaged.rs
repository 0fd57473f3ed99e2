//! The epoch of a server whose own files are damaged or missing.

use super::*;

/// Changes the server's own files, each in all the ways that there are.
fn damages(dir: &Path) -> Vec<(String, TempDir)> {
    fn files(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => files(&path, found),
                false => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    files(&dir.join("kafka"), &mut found);
    let mut damaged = Vec::new();
    let copy = |path: &Path| {
        let copy = crashed(dir);
        let path = copy.path().join(path.strip_prefix(dir).unwrap());
        (copy, path)
    };
    let (removed, path) = copy(&dir.join("kafka"));
    std::fs::remove_dir_all(path).unwrap();
    damaged.push(("no directory".to_owned(), removed));
    for file in found {
        let whole = std::fs::read(&file).unwrap();
        // Inside of what is stored, and not between: a file whose end is missing there is a whole one.
        let is_inside = |at: &usize| whole[at - 1] != 0 && whole[*at] != 0;
        let inside: Vec<usize> = (1..whole.len()).filter(is_inside).collect();
        let places = inside.iter().step_by(inside.len().div_ceil(12).max(1));
        let shown = file.strip_prefix(dir).unwrap().display();
        let (removed, path) = copy(&file);
        std::fs::remove_file(path).unwrap();
        damaged.push((format!("{shown} is removed"), removed));
        for &at in places.chain(inside.last()) {
            let (cut, path) = copy(&file);
            std::fs::write(path, &whole[..at]).unwrap();
            damaged.push((format!("{shown} is cut at {at}"), cut));
            let (changed, path) = copy(&file);
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(path, bytes).unwrap();
            damaged.push((format!("{shown} is changed at {at}"), changed));
        }
    }
    damaged
}

#[tokio::test]
async fn a_server_whose_own_files_are_damaged_goes_on_in_a_later_epoch() {
    let dir = dir();
    append_and_stop(serve(dir.path()).await, 0, 10).await;
    append_and_stop(serve(dir.path()).await, 10, 20).await;
    let served = serve(dir.path()).await;
    let left = crashed(dir.path());
    stop(served).await;
    for dir in [&left, &dir] {
        for (what, damaged) in damages(dir.path()) {
            let served = serve(damaged.path()).await;
            let mut client = served.client();
            let epoch = current(&mut client, "orders", 0).await;
            assert!(epoch > 2, "{what}: {epoch}");
            // What clients have read is there.
            for read in 0..3 {
                let (error, found, end) = end_of(&mut client, epoch, read).await;
                let least = (10 * (i64::from(read) + 1)).min(20);
                assert_eq!(error, 0);
                assert!(
                    found <= read && (least..=20).contains(&end),
                    "{what}: {end}"
                );
            }
            append(&mut client, 20, 21).await;
            let last = spans(&fetched(&mut client, epoch, 20).await);
            assert_eq!(last, [(epoch, 20, 20)]);
            stop(served).await;
        }
    }
}
