//! Questions to a server: what a file is, and its bytes from a place on.
//!
//! Redirects are followed here and not by the HTTP library: the hub describes a file in the answer that
//! sends elsewhere, and its token is for its own host alone.

use std::time::Duration;

use ureq::http::{Response, Uri};
use ureq::{Agent, Body};

use super::HubError;

/// Time for a connection, and for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(20);
const REDIRECTS: usize = 10;

/// What the hub says about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) url: String,
    /// The commit that the revision is at.
    pub(super) commit: String,
    /// The name of the content: SHA-256 of large files, git's hash of small ones.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
}

/// The bytes of a file from a place on.
pub(super) struct Bytes {
    pub(super) body: Body,
    /// Where they begin: where was asked for, or at 0 if the server does not do parts.
    pub(super) from: u64,
    /// Bytes of the whole file, where the server says so.
    pub(super) size: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    token: Option<String>,
    /// The address of the hub, for which the token is.
    hub: String,
}

impl Client {
    /// One that shows `token` to the hub at this address, and to nobody else.
    pub(super) fn new(token: Option<String>, hub: String) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .user_agent(concat!("resnet-cpu/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: agent.into(), token, hub }
    }

    /// What the hub says about the file at `url`.
    pub(super) fn describe(&self, url: &str) -> Result<Described, HubError> {
        // Another host has the bytes, but does not know the commit: it is not asked.
        let answer = self.ask("HEAD", url, None, |next, host| !next.contains("://") || host)?;
        check(&answer, url)?;
        let header = |name: &str| text(&answer, name);
        let missing = |expected: &str| HubError::Answer {
            url: url.to_owned(),
            expected: format!("a header {expected}, as the Hugging Face hub sends it"),
            found: "none".to_owned(),
        };
        let etag = header("x-linked-etag").or(header("etag")).ok_or_else(|| missing("etag"))?;
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        let commit = header("x-repo-commit").ok_or_else(|| missing("x-repo-commit"))?.to_owned();
        let hexadecimal =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        // They become names of files.
        if !(hexadecimal(&commit) && hexadecimal(&etag) && [40, 64].contains(&etag.len())) {
            let found = crate::weights::shown(&format!("{commit}, {etag}"));
            let expected = "hexadecimal hashes of commit and content".to_owned();
            return Err(HubError::Answer { url: url.to_owned(), expected, found });
        }
        let redirected = answer.status().is_redirection();
        let length = header("content-length").filter(|_| !redirected);
        let size = header("x-linked-size").or(length).and_then(|size| size.parse().ok());
        Ok(Described { url: url.to_owned(), commit, etag, size })
    }

    /// The bytes of the file at `url`, from `from` on if the server does that.
    pub(super) fn bytes(&self, url: &str, from: u64) -> Result<Bytes, HubError> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let answer = self.ask("GET", url, range.as_deref(), |_, _| true)?;
        let status = answer.status().as_u16();
        if status == 416 {
            // Nothing is there from that place on.
            return Ok(Bytes { body: Body::builder().data(""), from: 0, size: None });
        }
        check(&answer, url)?;
        let length: Option<u64> = text(&answer, "content-length").and_then(|n| n.parse().ok());
        let (from, size) = if status == 206 {
            // bytes 100-199/200
            let range = text(&answer, "content-range").unwrap_or_default();
            let (part, size) =
                range.trim_start_matches("bytes ").split_once('/').unwrap_or(("", ""));
            let begins = part.split('-').next().and_then(|n| n.parse::<u64>().ok());
            if begins != Some(from) {
                let expected = format!("a part that begins at {from}");
                let found = crate::weights::shown(range);
                return Err(HubError::Answer { url: url.to_owned(), expected, found });
            }
            (from, size.parse().ok())
        } else {
            (0, length)
        };
        Ok(Bytes { body: answer.into_body(), from, size })
    }

    /// Asks, and follows redirects while `follow` says so: of a target, and of whether it is on the same host.
    fn ask(
        &self,
        method: &str,
        url: &str,
        range: Option<&str>,
        follow: impl Fn(&str, bool) -> bool,
    ) -> Result<Response<Body>, HubError> {
        let unreachable = |reason: String| HubError::Unreachable { url: url.to_owned(), reason };
        let first: Uri = url.parse().map_err(|error| unreachable(format!("{error}")))?;
        let asks_hub = url.strip_prefix(&self.hub).is_some_and(|rest| rest.starts_with('/'));
        let mut at = url.to_owned();
        for _ in 0..REDIRECTS {
            let uri: Uri = at.parse().map_err(|error| unreachable(format!("{error}")))?;
            let ours = (uri.scheme(), uri.authority()) == (first.scheme(), first.authority());
            let mut request = match method {
                "HEAD" => self.agent.head(&at),
                _ => self.agent.get(&at),
            };
            request = request.header("Accept-Encoding", "identity");
            if let Some(token) = self.token.as_ref().filter(|_| ours && asks_hub) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            if let Some(range) = range {
                request = request.header("Range", range);
            }
            let answer = request.call().map_err(|error| unreachable(error.to_string()))?;
            let target = text(&answer, "location").filter(|_| answer.status().is_redirection());
            let Some(target) = target else { return Ok(answer) };
            let next = match (target.contains("://"), target.strip_prefix("//")) {
                (true, _) => target.to_owned(),
                (false, Some(_)) => return Ok(answer),
                (false, None) => {
                    let scheme = uri.scheme_str().unwrap_or("https");
                    let host = uri.authority().map_or("", |authority| authority.as_str());
                    format!("{scheme}://{host}/{}", target.trim_start_matches('/'))
                }
            };
            let same = next.parse::<Uri>().is_ok_and(|next| next.authority() == uri.authority());
            // What the hub says of the file stands in the first answer that names the commit.
            let named =
                ["x-linked-etag", "x-repo-commit"].map(|name| text(&answer, name).is_some());
            let described = method == "HEAD" && named == [true; 2];
            if described || !follow(target, same) {
                return Ok(answer);
            }
            if uri.scheme_str() == Some("https") && !next.starts_with("https://") {
                return Err(unreachable(
                    "it redirects to a connection without encryption".to_owned(),
                ));
            }
            at = next;
        }
        Err(unreachable("it redirects without end".to_owned()))
    }
}

fn text<'a>(answer: &'a Response<Body>, header: &str) -> Option<&'a str> {
    answer.headers().get(header)?.to_str().ok()
}

/// An error, unless the server has what was asked for.
fn check(answer: &Response<Body>, url: &str) -> Result<(), HubError> {
    let url = url.to_owned();
    match answer.status().as_u16() {
        200..=399 => Ok(()),
        status @ (401 | 403) => Err(HubError::Denied { url, status }),
        404 | 410 => {
            let detail = match text(answer, "x-error-code") {
                Some("RepoNotFound") => ": there is no such repository",
                Some("RevisionNotFound") => ": the repository has no such revision",
                Some("EntryNotFound") => ": the repository has no such file",
                _ => "",
            };
            Err(HubError::NotFound { url, detail: detail.to_owned() })
        }
        status @ (408 | 429 | 500..) => Err(HubError::Busy { url, status }),
        status => {
            let found = format!("status {status}");
            Err(HubError::Answer { url, expected: "a file".to_owned(), found })
        }
    }
}
