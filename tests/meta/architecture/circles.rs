//! Circles of imports: groups of modules none of which can be understood without the others.

use std::collections::{BTreeMap, BTreeSet};

use super::mentions::How;
use super::resolve::Edge;
use super::tree::{Module, Tree};

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Groups of top-level modules each of which uses all others, directly or indirectly.
pub fn between_modules(tree: &Tree) -> Vec<Vec<String>> {
    let edges = tree.edges();
    circles(&graph(tree, &edges, |module| {
        module.top().map(ToOwned::to_owned)
    }))
}

/// Groups of files within one top-level module each of which uses all others, directly or
/// indirectly.
pub fn between_files(tree: &Tree) -> Vec<Vec<String>> {
    let edges = tree.edges();
    let tops: BTreeSet<&str> = tree.modules.iter().filter_map(Module::top).collect();
    let of = |top: &str| {
        circles(&graph(tree, &edges, |module| {
            (module.top() == Some(top)).then(|| module.file.clone())
        }))
    };
    tops.into_iter().flat_map(of).collect()
}

/// The graph of uses. A re-export is not a use: a façade has no logic of its own to understand.
fn graph(tree: &Tree, edges: &[Edge], name: impl Fn(&Module) -> Option<String>) -> Graph {
    let mut graph = Graph::new();
    for edge in edges {
        let (from, to) = (&tree.modules[edge.from], &tree.modules[edge.to]);
        let (Some(from), Some(to)) = (name(from), name(to)) else {
            continue;
        };
        if edge.is_item && edge.how != How::Reexported && from != to {
            graph.entry(from).or_default().insert(to);
        }
    }
    graph
}

fn reachable<'g>(graph: &'g Graph, from: &str) -> BTreeSet<&'g str> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = graph
        .get(from)
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    while let Some(name) = next.pop() {
        if seen.insert(name) {
            next.extend(graph.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    seen
}

/// The strongly connected components with more than one node.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> = graph
        .keys()
        .map(|name| (name.as_str(), reachable(graph, name)))
        .collect();
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for (name, reached) in &reach {
        if done.contains(name) || !reached.contains(name) {
            continue;
        }
        let is_mutual = |other: &&&str| reach.get(**other).is_some_and(|it| it.contains(name));
        let circle: Vec<&str> = reached.iter().filter(is_mutual).copied().collect();
        done.extend(circle.iter().copied());
        found.push(circle.into_iter().map(ToOwned::to_owned).collect());
    }
    found
}

/// The uses that form a circle, to show where it can be broken.
pub fn uses_within(tree: &Tree, circle: &[String]) -> Vec<String> {
    let is_in = |name: &str| circle.iter().any(|it| it == name);
    let mut uses: Vec<String> = tree
        .edges()
        .iter()
        .filter(|edge| edge.is_item && edge.how != How::Reexported)
        .filter_map(|edge| {
            let (from, to) = (&tree.modules[edge.from], &tree.modules[edge.to]);
            let is_of_files = is_in(&from.file) && is_in(&to.file) && from.file != to.file;
            let is_of_tops = from.top().is_some_and(is_in)
                && to.top().is_some_and(is_in)
                && from.top() != to.top();
            (is_of_files || is_of_tops)
                .then(|| format!("{} uses {} of {}", from.file, edge.written, to.file))
        })
        .collect();
    uses.sort_unstable();
    uses.dedup();
    uses
}
