//! Parts of a file over HTTP, with the certificates that the machine trusts.

use super::range::Source;
use anyhow::{Context, Result, anyhow, bail};
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

/// Attempts at one part before giving up.
const NUM_ATTEMPTS: u32 = 6;

/// Pause after the first failed attempt; doubled after each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A file on a server that can send parts of it.
pub struct HttpFile {
    agent: Agent,
    url: String,
    size_bytes: u64,
}

impl HttpFile {
    /// Asks the server for one byte, to learn the file's size and whether it sends parts at all.
    pub fn open(url: &str) -> Result<Self> {
        let mut file = Self { agent: agent()?, url: url.to_owned(), size_bytes: 0 };
        let (_, size_bytes) = file.retried(&(0..1))?;
        file.size_bytes = size_bytes;
        Ok(file)
    }

    /// The bytes of a range and the size of the whole file.
    fn retried(&self, range: &Range<u64>) -> Result<(Vec<u8>, u64)> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            match self.once(range) {
                Ok(part) => return Ok(part),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error)) if attempt == NUM_ATTEMPTS => {
                    return Err(error.context(format!("gave up after {NUM_ATTEMPTS} attempts")));
                }
                Err(Failure::Passing(_)) => {
                    thread::sleep(pause);
                    pause *= 2;
                    attempt += 1;
                }
            }
        }
    }

    fn once(&self, range: &Range<u64>) -> Result<(Vec<u8>, u64), Failure> {
        let passing = |error: ureq::Error| Failure::Passing(anyhow!("cannot read {}: {error}", self.url));
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let mut response = self.agent.get(&self.url).header("Range", header).call().map_err(|error| match error {
            ureq::Error::StatusCode(status @ 400..=499) if status != 408 && status != 429 => {
                Failure::Final(anyhow!("{} answers with status {status}", self.url))
            }
            error => passing(error),
        })?;
        if response.status() != 206 {
            return Err(Failure::Final(anyhow!("the server sends no parts of files (status {})", response.status())));
        }
        let content_range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
        let size_bytes = whole_size(content_range, range.start).map_err(Failure::Final)?;
        // One more than is wanted: at the limit itself the reader cannot tell that the body ends there.
        let limit = range.end - range.start + 1;
        let bytes = response.body_mut().with_config().limit(limit).read_to_vec().map_err(passing)?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(Failure::Passing(anyhow!("{} bytes came for the range {range:?}", bytes.len())));
        }
        Ok((bytes, size_bytes))
    }
}

impl Source for HttpFile {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let (bytes, size_bytes) =
            self.retried(&range).context("the download stopped; run the same command again to go on from here")?;
        if size_bytes != self.size_bytes {
            bail!("the file changed on the server: {size_bytes} bytes, expected {}", self.size_bytes);
        }
        Ok(bytes)
    }
}

/// Whether another attempt may help.
enum Failure {
    Passing(anyhow::Error),
    Final(anyhow::Error),
}

/// The size in `bytes <first>-<last>/<size>`, where the range begins as asked.
fn whole_size(content_range: Option<&str>, start: u64) -> Result<u64> {
    let parsed = content_range.and_then(|text| {
        let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let first: u64 = range.split_once('-')?.0.parse().ok()?;
        (first == start).then_some(size.parse().ok()?)
    });
    parsed.with_context(|| format!("unexpected Content-Range {content_range:?} for a part from byte {start}"))
}

fn agent() -> Result<Agent> {
    let tls = TlsConfig::builder().root_certs(root_certs()?).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_resolve(Some(Duration::from_secs(20)))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_mins(1)))
        .timeout_per_read(Some(Duration::from_mins(1)))
        .build();
    Ok(config.new_agent())
}

/// The bundle that pip is told to use, if it is told one; else the machine's own store (which honours `SSL_CERT_FILE`).
fn root_certs() -> Result<RootCerts> {
    let Some(path) = std::env::var_os("PIP_CERT") else { return Ok(RootCerts::PlatformVerifier) };
    let pem = std::fs::read(&path).with_context(|| format!("cannot read PIP_CERT ({})", path.display()))?;
    let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        bail!("PIP_CERT ({}) holds no certificate", path.display());
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// Answers one connection per reply and hands back the request lines it saw.
    fn serve(replies: Vec<&'static str>) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/wheel", listener.local_addr().expect("an address"));
        let server = thread::spawn(move || {
            let mut ranges = Vec::new();
            for reply in replies {
                let (stream, _) = listener.accept().expect("a connection");
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                while reader.read_line(&mut line).expect("a request line") > 2 {
                    if line.to_ascii_lowercase().starts_with("range:") {
                        ranges.push(line.trim().to_ascii_lowercase());
                    }
                    line.clear();
                }
                reader.get_mut().write_all(reply.as_bytes()).expect("a reply");
            }
            ranges
        });
        (url, server)
    }

    const ONE_BYTE: &str =
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\nConnection: close\r\n\r\na";

    #[test]
    fn a_part_is_asked_for_by_its_range_and_tried_again_after_a_server_error() {
        let (url, server) = serve(vec![
            ONE_BYTE,
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-6/9\r\nContent-Length: 3\r\nConnection: close\r\n\r\nefg",
        ]);
        let file = HttpFile::open(&url).expect("the file");
        assert_eq!(file.size_bytes(), 9);
        assert_eq!(file.read(4..7).expect("a part"), b"efg");
        assert_eq!(server.join().expect("the server"), ["range: bytes=0-0", "range: bytes=4-6", "range: bytes=4-6"]);
    }

    #[test]
    fn a_server_that_sends_whole_files_only_is_told_apart() {
        let (url, server) = serve(vec!["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na"]);
        let error = HttpFile::open(&url).err().expect("no parts");
        assert!(error.to_string().contains("no parts"), "{error}");
        server.join().expect("the server");
    }

    #[test]
    fn a_missing_file_is_not_tried_again() {
        let (url, server) = serve(vec!["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]);
        let error = HttpFile::open(&url).err().expect("no file");
        assert!(error.to_string().contains("404"), "{error}");
        server.join().expect("the server");
    }

    #[test]
    fn a_range_that_was_not_asked_for_is_refused() {
        assert_eq!(whole_size(Some("bytes 5-9/100"), 5).expect("a size"), 100);
        assert!(whole_size(Some("bytes 0-9/100"), 5).is_err());
        assert!(whole_size(None, 5).is_err());
    }
}
