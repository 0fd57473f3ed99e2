//! The real file system.

/// The system's files.
#[derive(Debug, Default)]
pub(crate) struct FileSystem;
impl super::Disk for FileSystem {
    fn create(&self, _: &std::path::Path) -> std::io::Result<std::sync::Arc<dyn super::DiskFile>> {
        todo!()
    }
    fn open(
        &self,
        _: &std::path::Path,
        _: bool,
    ) -> std::io::Result<std::sync::Arc<dyn super::DiskFile>> {
        todo!()
    }
    fn list(&self, _: &std::path::Path) -> std::io::Result<Vec<super::Entry>> {
        todo!()
    }
    fn create_dir(&self, _: &std::path::Path) -> std::io::Result<()> {
        todo!()
    }
    fn rename(&self, _: &std::path::Path, _: &std::path::Path) -> std::io::Result<()> {
        todo!()
    }
    fn remove_file(&self, _: &std::path::Path) -> std::io::Result<()> {
        todo!()
    }
    fn remove_dir(&self, _: &std::path::Path) -> std::io::Result<()> {
        todo!()
    }
    fn sync_dir(&self, _: &std::path::Path) -> std::io::Result<()> {
        todo!()
    }
    fn lock(&self, _: &std::path::Path) -> std::io::Result<Box<dyn std::fmt::Debug + Send + Sync>> {
        todo!()
    }
}
