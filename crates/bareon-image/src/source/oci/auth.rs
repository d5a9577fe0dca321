//! How a registry lets one in: it refuses first, and says where a token is to be had, or that it wants a password.

use std::io::Read;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{
    blocking::Response,
    header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use url::Url;

use crate::{
    HttpOptions, ImageError,
    source::{
        client,
        http::{Credentials, Failure, Trouble, refused, unsent},
        shown,
    },
};

/// The most that is read of an answer with a token, in bytes.
const LIMIT: u64 = 1 << 18;

/// Whoever asks for an image.
pub struct Visitor {
    /// The registry's address, as it may be shown.
    pub uri: String,
    /// The name and the password, where the address has them.
    pub user: Option<(String, String)>,
    /// Whether the registry is talked to in secret; then a token is not fetched otherwise.
    pub secret: bool,
    /// For fetching tokens.
    pub options: HttpOptions,
    /// What was got.
    pub header: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Visitor {
    fn basic(&self) -> Option<HeaderValue> {
        let (user, password) = self.user.as_ref()?;
        value(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }

    fn token(&self, challenge: &Challenge) -> Result<HeaderValue, Failure> {
        let wrong = |why: &str| {
            Failure::Final(ImageError::Registry {
                uri: self.uri.clone(),
                why: format!("{why}; ask the one who runs it"),
            })
        };
        let mut url = challenge
            .get("realm")
            .and_then(|realm| Url::parse(realm).ok())
            .filter(|url| url.scheme() == "https" || (url.scheme() == "http" && !self.secret))
            .ok_or_else(|| wrong("it does not say by https where tokens are to be had"))?;
        for name in ["service", "scope"] {
            url.query_pairs_mut().extend_pairs(challenge.get(name).map(|value| (name, value)));
        }
        let uri = shown(url.as_str());
        let mut request = client::build(&uri, &self.options).map_err(Failure::Final)?.get(url);
        if let Some(basic) = self.basic() {
            request = request.header(AUTHORIZATION, basic);
        }
        let response = request.send().map_err(|error| unsent(&uri, error))?;
        if !response.status().is_success() {
            return Err(refused(&uri, 0, response.status()));
        }
        let mut body = Vec::new();
        let read = response.take(LIMIT).read_to_end(&mut body);
        read.map_err(|e| Failure::Passing(Trouble::Broke(e)))?;
        let answer: Option<Answer> = serde_json::from_slice(&body).ok();
        let token = answer.and_then(|answer| answer.token.or(answer.access_token));
        token.and_then(|token| value(&format!("Bearer {token}"))).ok_or_else(|| wrong("its tokens are none"))
    }
}

/// What is sent and not shown.
fn value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Credentials for Visitor {
    fn header(&self) -> Option<HeaderValue> {
        self.header.clone()
    }

    fn renew(&mut self, refusal: &Response) -> Result<bool, Failure> {
        let challenges = refusal.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges: Vec<_> =
            challenges.filter_map(|text| Challenge::parse(text.to_str().ok()?)).collect();
        let by = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let header = match by("bearer") {
            Some(challenge) => Some(self.token(challenge)?),
            None => by("basic").and_then(|_| self.basic()),
        };
        if header.is_some() {
            self.header = header;
            return Ok(true);
        }
        Ok(false)
    }
}

/// What a server asks for (RFC 9110, 11.6.1), as far as registries do: one scheme in a header.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    /// In lower case.
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// What a header says; nothing for what is none of them.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut parameters = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', ',']);
            if rest.is_empty() {
                break;
            }
            let (name, after) = rest.split_once('=')?;
            let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
                unquote(quoted)?
            } else {
                let end = after.find([',', ' ']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            };
            parameters.push((name.trim().to_ascii_lowercase(), value));
            rest = after;
        }
        Some(Self { scheme: scheme.to_ascii_lowercase(), parameters })
    }
}

/// A text up to its closing quote, and what comes behind.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn challenges_are_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let challenge = Challenge::parse(hub).unwrap();
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(challenge.get("realm"), Some("https://auth.docker.io/token"));
        assert_eq!(challenge.get("scope"), Some("repository:a/b:pull,push"));
        let odd = Challenge::parse(r#"BASIC Realm="a \"b\"" , charset=UTF-8"#).unwrap();
        assert_eq!(
            (odd.scheme.as_str(), odd.get("realm"), odd.get("charset")),
            ("basic", Some("a \"b\""), Some("UTF-8"))
        );
        assert_eq!(Challenge::parse("Negotiate").unwrap().parameters, []);
        for none in ["Bearer realm", "Bearer realm=\"open", "Bearer realm=\"open\\"] {
            assert_eq!(Challenge::parse(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(text in ".{0,80}", value in "[ -~]{0,20}") {
            let _ = Challenge::parse(&text);
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let challenge = Challenge::parse(&format!("Bearer realm=\"{quoted}\",x=y")).unwrap();
            prop_assert_eq!(challenge.get("realm"), Some(value.as_str()));
        }
    }
}
