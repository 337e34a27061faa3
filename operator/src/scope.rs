//! Where the operator works: everywhere, or in some namespaces, for which it then needs rights only there.
//!
//! *Never:* what is watched.

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};

/// The longest name of a namespace.
const LONGEST_NAME: usize = 63;

/// Where the operator works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every namespace.
    All,
    /// In these, sorted and each once.
    Namespaces(Vec<String>),
}

// === impl Scope ===

impl Scope {
    /// The namespaces of a list, or all if it is empty.
    ///
    /// # Errors
    /// The first that is no name of a namespace.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut namespaces: Vec<_> = names.map(str::to_owned).collect();
        if let Some(bad) = namespaces.iter().find(|name| !is_dns_label(name)) {
            return Err(bad.clone());
        }
        namespaces.sort();
        namespaces.dedup();
        Ok(if namespaces.is_empty() { Self::All } else { Self::Namespaces(namespaces) })
    }

    /// What lists and watches all objects of a kind there are here; several, since no request is about some namespaces.
    pub fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::All => vec![Api::all(client.clone())],
            Self::Namespaces(names) => names.iter().map(|name| Api::namespaced(client.clone(), name)).collect(),
        }
    }

    /// Whether a namespace is part of it.
    #[must_use]
    pub fn has(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(names) => names.iter().any(|name| name == namespace),
        }
    }
}

/// Whether a text is a DNS label, as the name of a namespace is.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let all = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    all && name.len() <= LONGEST_NAME && ends(name.chars().next()) && ends(name.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_part_of_all_and_of_its_list() {
        assert!(Scope::All.has("data"));
        let some = Scope::of(["web", "data"].into_iter()).unwrap();
        assert!(some.has("data") && !some.has("other"));
    }

    #[test]
    fn what_is_no_name_is_found() {
        for bad in ["Data", "-data", "data-", "da ta", "d\u{e4}ta", &"d".repeat(64)] {
            assert_eq!(Scope::of(["ok", bad].into_iter()), Err(bad.to_owned()));
        }
    }
}
