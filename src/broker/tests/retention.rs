//! Retention beside the copier, on a disk whose syncs of a directory take as long as a test wants.

use super::*;
use crate::disk::{Disk, DiskFile, Entry};
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex};

/// A disk that holds back the syncs of a partition's directory while it is shut.
#[derive(Debug)]
struct SlowDisk {
    disk: ModelDisk,
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    is_shut: bool,
    waiting: usize,
}

impl SlowDisk {
    fn shut(&self, is_shut: bool) {
        self.gate.lock().unwrap().is_shut = is_shut;
        self.changed.notify_all();
    }

    fn waiting(&self) -> usize {
        self.gate.lock().unwrap().waiting
    }
}

/// Opens the gate again, also when a test fails.
struct Shut<'d>(&'d SlowDisk);

impl<'d> Shut<'d> {
    fn new(disk: &'d SlowDisk) -> Shut<'d> {
        disk.shut(true);
        Shut(disk)
    }
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        self.0.shut(false);
    }
}

impl Disk for SlowDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn open(&self, path: &Path, for_writing: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, for_writing)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let is_partition = dir.ends_with("p00000");
        let mut gate = self.gate.lock().unwrap();
        gate.waiting += usize::from(is_partition);
        while gate.is_shut && is_partition {
            gate = self.changed.wait(gate).unwrap();
        }
        gate.waiting -= usize::from(is_partition);
        drop(gate);
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>> {
        self.disk.lock(path)
    }
}

#[test]
fn records_are_copied_while_retention_waits_for_the_disk() {
    let disk = Arc::new(SlowDisk {
        disk: ModelDisk::new(1),
        gate: Mutex::default(),
        changed: Condvar::new(),
    });
    let config = config(&disk.disk).disk(disk.clone());
    let (broker, _) = Broker::open(config).unwrap();
    let ring = small_ring().retention_bytes(u64::MAX).max_block(LONG);
    let topic = broker.create_topic("t", ring).unwrap();
    let mut producer = topic.producer();
    let mut send = |count| {
        for _ in 0..count {
            producer.send(Record::new(&[7; 100])).unwrap();
        }
    };
    send(3000);
    topic.flush(LONG).unwrap();
    // From here on only a removal syncs a directory, until the next file begins.
    std::thread::scope(|scope| {
        let _shut = Shut::new(&disk);
        topic.set_retention_bytes(Some(1));
        scope.spawn(|| topic.apply_retention());
        wait_until("retention", || disk.waiting() > 0);
        send(1000);
        assert!(topic.written_end(0).unwrap() > 3900);
    });
    topic.apply_retention();
    assert!(topic.log_start_offset(0).unwrap() > 0);
}
