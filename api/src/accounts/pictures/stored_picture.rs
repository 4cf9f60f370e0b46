//! Reads stored pictures.

use std::{
    fs::File,
    io::{self, Read as _},
};

use futures_util::{Stream, stream};

use crate::accounts::pictures::folder_threads::FolderThreads;

/// Size of the read buffer of one reader, in bytes.
const CHUNK: usize = 16 * 1024;

/// A stored picture, opened for reading.
pub struct StoredPicture {
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// The media type of the file.
    pub media_type: &'static str,
    pub(super) file: File,
    pub(super) threads: FolderThreads,
}

impl StoredPicture {
    /// Reads the file in chunks, each on a thread of the folder.
    pub fn into_chunks(self) -> impl Stream<Item = io::Result<Vec<u8>>> + Send {
        let Self { file, threads, .. } = self;
        stream::try_unfold((file, threads), |(mut file, threads)| async {
            let read = threads.run(move || {
                let mut chunk = vec![0; CHUNK];
                let length = file.read(&mut chunk)?;
                chunk.truncate(length);
                Ok((chunk, file))
            });
            let (chunk, file) = read.await?;
            Ok((!chunk.is_empty()).then_some((chunk, (file, threads))))
        })
    }
}
