//! An image's name: parsed once, told in the two spellings that archives need.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// `[REGISTRY/]PATH:TAG`, without a digest. Where the registry is left out, runtimes read docker.io, and docker.io/library
/// for a path of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    repository: String,
    tag: String,
}

impl Reference {
    /// The tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// With registry and all, as containerd keeps it: docker.io/library/busybox:1.
    pub fn full(&self) -> String {
        let first = self.repository.split_once('/').map(|(first, _)| first);
        let has_registry = first.is_some_and(|first| first.contains(['.', ':']) || first == "localhost");
        let before = match first {
            _ if has_registry => "",
            Some(_) => "docker.io/",
            None => "docker.io/library/",
        };
        format!("{before}{self}")
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |expected| Err(Error::Name { found: text.to_owned(), expected });
        if text.contains('@') {
            return wrong("a digest cannot be chosen");
        }
        // A colon before the last slash belongs to the registry's port.
        let (repository, tag) = match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => return wrong("it has no tag"),
        };
        let tag_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if tag.is_empty() || tag.len() > 128 || !tag.chars().all(tag_fits) || tag.starts_with(['.', '-']) {
            return wrong(
                "the tag has up to 128 letters, digits, '.', '_' and '-', and begins with none of '.' and '-'",
            );
        }
        let (registry, path) = match repository.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), path),
            _ => (None, repository),
        };
        let host_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if registry.is_some_and(|registry| !registry.chars().all(host_fits)) {
            return wrong("the registry is a host with or without a port");
        }
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        let ends = |part: &str| part.starts_with(['.', '_', '-']) || part.ends_with(['.', '_', '-']);
        if path.split('/').any(|part| part.is_empty() || !part.chars().all(fits) || ends(part)) || path.len() > 255 {
            return wrong("each part of the path has lower-case letters and digits, and '.', '_' and '-' between them");
        }
        Ok(Self { repository: repository.to_owned(), tag: tag.to_owned() })
    }
}

impl fmt::Display for Reference {
    /// As it was given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_registry_is_docker_s() {
        let cases = [
            ("aegis:test", "docker.io/library/aegis:test"),
            ("bitnami/kubectl:latest", "docker.io/bitnami/kubectl:latest"),
            ("docker.io/library/busybox:1", "docker.io/library/busybox:1"),
            ("quay.io/argoproj/argoexec:v3.7.4", "quay.io/argoproj/argoexec:v3.7.4"),
            ("localhost/a:1", "localhost/a:1"),
            ("registry:5000/a/b-c:V1", "registry:5000/a/b-c:V1"),
        ];
        for (text, full) in cases {
            let name: Reference = text.parse().unwrap();
            assert_eq!((name.to_string().as_str(), name.full().as_str()), (text, full));
        }
    }

    #[test]
    fn what_no_runtime_would_take_is_refused() {
        let cases = [
            ("", "no tag"),
            ("aegis", "no tag"),
            ("registry:5000/aegis", "no tag"),
            ("aegis:", "the tag"),
            ("aegis:.1", "the tag"),
            ("Aegis:1", "lower-case"),
            ("a//b:1", "lower-case"),
            ("-a:1", "lower-case"),
            (":1", "lower-case"),
            ("reg.example/:1", "lower-case"),
            ("a b.c/d:1", "the registry"),
            ("aegis@sha256:00", "digest"),
        ];
        for (text, part) in cases {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
