//! Compresses the assets of the dashboard once, for `assets.rs`.

use std::{env, error::Error, fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};

const ASSETS: [&str; 6] = [
    "tabler.min.css",
    "tabler.rtl.min.css",
    "admin.css",
    "htmx.min.js",
    "admin.js",
    "icons.svg",
];

#[expect(
    clippy::disallowed_methods,
    reason = "Cargo passes the folder in a variable"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    for name in ASSETS {
        let path = Path::new("assets").join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        let file = fs::File::create(Path::new(&out).join(format!("{name}.gz")))?;
        let mut encoder = GzEncoder::new(file, Compression::best());
        encoder.write_all(&fs::read(path)?)?;
        encoder.finish()?;
    }
    Ok(())
}
