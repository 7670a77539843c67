//! What `cargo metadata` says of the workspace and its dependencies.

use crate::process;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The dependency graph of all platforms.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Every package.
    pub packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Cargo's own id.
    pub id: String,
    /// Name on the registry.
    pub name: String,
    /// Version.
    pub version: String,
    /// SPDX expression.
    pub license: Option<String>,
    /// What its Cargo.toml names.
    pub dependencies: Vec<Dependency>,
}

/// One line of a Cargo.toml.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// Name of the package, whatever it is renamed to.
    pub name: String,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo, of the default features.
    pub fn read() -> Result<Self> {
        Self::read_with(&[])
    }

    /// Asks cargo, of all features: the program that runs alone has dependencies of its own.
    pub fn read_all_features() -> Result<Self> {
        Self::read_with(&["--all-features"])
    }

    fn read_with(features: &[&str]) -> Result<Self> {
        let mut cargo = process::cargo();
        cargo.args(["metadata", "--format-version", "1", "--locked"]).args(features);
        let text = process::output(&mut cargo)
            .context("if Cargo.lock is behind the Cargo.toml files, `cargo check` brings it up to date")?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("cargo metadata is not understood")
    }

    /// The packages of this workspace.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.is_member(package))
    }

    /// Whether a package is one of this workspace.
    pub fn is_member(&self, package: &Package) -> bool {
        self.workspace_members.contains(&package.id)
    }

    /// Names of everything that ends up in the binary of a member: its ordinary dependencies and theirs.
    pub fn linked_into(&self, member: &str) -> BTreeSet<&str> {
        let names: BTreeMap<&str, &str> = self.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
        let nodes: BTreeMap<&str, &Node> = self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let start = self.members().find(|package| package.name == member);
        let mut queue: Vec<&str> = start.map(|package| package.id.as_str()).into_iter().collect();
        let mut seen: BTreeSet<&str> = queue.iter().copied().collect();
        while let Some(id) = queue.pop() {
            let edges = nodes.get(id).map_or(&[] as &[Edge], |node| &node.deps);
            for edge in edges.iter().filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none())) {
                if seen.insert(&edge.pkg) {
                    queue.push(&edge.pkg);
                }
            }
        }
        seen.into_iter().filter_map(|id| names.get(id).copied()).filter(|name| *name != member).collect()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A workspace of `app` (uses `lib`, builds with `tool`, tests with `check`) and `lib` (uses `torch`).
    pub fn example() -> Metadata {
        let package = |name: &str, dependencies: &str| {
            format!(
                r#"{{"id":"{name} 1","name":"{name}","version":"1.0.0","license":"MIT","dependencies":[{dependencies}]}}"#
            )
        };
        let uses = |name: &str| format!(r#"{{"name":"{name}"}}"#);
        let edge = |name: &str, kind: &str| format!(r#"{{"pkg":"{name} 1","dep_kinds":[{{"kind":{kind}}}]}}"#);
        let node = |name: &str, deps: &str| format!(r#"{{"id":"{name} 1","deps":[{deps}]}}"#);
        let app_uses = ["lib", "tool", "check"].map(uses).join(",");
        let app_edges = [edge("lib", "null"), edge("tool", r#""build""#), edge("check", r#""dev""#)].join(",");
        let packages = [
            package("app", &app_uses),
            package("lib", &uses("torch")),
            package("torch", ""),
            package("tool", ""),
            package("check", ""),
        ];
        let nodes = [node("app", &app_edges), node("lib", &edge("torch", "null")), node("torch", "")];
        let text = format!(
            r#"{{"packages":[{}],"workspace_members":["app 1","lib 1"],"resolve":{{"nodes":[{}]}}}}"#,
            packages.join(","),
            nodes.join(",")
        );
        Metadata::parse(&text).expect("an example")
    }

    #[test]
    fn what_is_linked_is_followed_through_and_tools_are_not() {
        assert_eq!(example().linked_into("app"), BTreeSet::from(["lib", "torch"]));
    }

    #[test]
    fn the_members_are_told_from_the_rest() {
        let names: Vec<_> = example().members().map(|package| package.name.clone()).collect();
        assert_eq!(names, ["app", "lib"]);
    }
}
