//! Nodes in graphs within nodes, and values that are shared, sparse or called alike.

use prost::Message;

use super::{changed, model, read, refused};
use crate::onnx::proto::{Attribute, Function, Graph, Node, SparseTensor, Tensor, ValueInfo};
use crate::onnx::{OnnxDialect, lstms_from_bytes, nodes_from_bytes};

/// A node `if` of this operator with the graph as its `then_branch`.
fn with_branch(graph: Graph) -> Node {
    let attribute =
        Attribute { name: "then_branch".into(), g: Some(graph), kind: 5, ..Default::default() };
    Node {
        name: "if".into(),
        op_type: "If".into(),
        attribute: vec![attribute],
        ..Default::default()
    }
}

fn identity(from: &str, to: &str) -> Node {
    Node {
        input: vec![from.into()],
        output: vec![to.into()],
        op_type: "Identity".into(),
        ..Default::default()
    }
}

#[test]
fn a_node_within_a_node_is_read_with_what_stands_around_it() {
    let expected = read(&model().encode_to_vec()).unwrap();
    // R stays inside; W, B and P are outside, W behind an Identity inside.
    let bytes = changed(|graph| {
        let mut lstm = graph.node.remove(0);
        lstm.input[1] = "w".into();
        let r = graph.initializer.remove(1);
        let node = vec![identity("W", "w"), lstm];
        let inner = Graph { node, initializer: vec![r], ..Default::default() };
        let middle = Graph { node: vec![with_branch(inner)], ..Default::default() };
        let mut list = with_branch(Graph::default());
        list.attribute[0].g = None;
        list.attribute[0].graphs = vec![middle];
        graph.node.push(list);
    });
    let found = read(&bytes).unwrap();
    assert_eq!(found.node.name, "if/then_branch/if/then_branch/rnn");
    assert_eq!(found.weights, expected.weights);
    assert_eq!(nodes_from_bytes(&bytes).unwrap(), [found.node]);
    // What stands inside is not seen outside, and an input of the inner graph hides what is outside.
    refused(
        |graph| {
            let r = graph.initializer.remove(1);
            graph.node.push(with_branch(Graph { initializer: vec![r], ..Default::default() }));
        },
        &["missing", "input R (`R`) of node `rnn`"],
    );
    refused(
        |graph| {
            let node = vec![graph.node.remove(0)];
            let input = vec![ValueInfo { name: "R".into(), kind: None }];
            graph.node.push(with_branch(Graph { node, input, ..Default::default() }));
        },
        &["input R (`R`) of node `if/then_branch/rnn`", "input of the graph"],
    );
}

#[test]
fn functions_and_quantised_nodes_are_refused_by_name() {
    let mut model = model();
    let graph = model.graph.as_mut().unwrap();
    let node = graph.node.remove(0);
    let inner = Graph { node: vec![node.clone()], ..Default::default() };
    for node in [node, with_branch(inner)] {
        model.functions = vec![Function { name: "cell".into(), node: vec![node] }];
        let error = nodes_from_bytes(&model.encode_to_vec()).unwrap_err().to_string();
        assert!(error.contains("function `cell`"), "{error}");
    }
    let quantised = |graph: &mut Graph| {
        graph.node[0].op_type = "DynamicQuantizeLSTM".into();
        graph.node[0].domain = "com.microsoft".into();
    };
    refused(quantised, &["`rnn`", "DynamicQuantizeLSTM", "com.microsoft"]);
}

#[test]
fn many_nodes_with_one_initialiser_are_bounded() {
    let share = |n: usize| {
        changed(|graph| {
            graph.initializer.retain(|tensor| tensor.name != "P");
            graph.node[0].input.truncate(4);
            // What counts is the copies, not how long the names are.
            graph.node = vec![graph.node[0].clone(); n];
            let outputs = |(k, node): (usize, &mut Node)| node.output = vec![format!("Y{k}")];
            graph.node.iter_mut().enumerate().for_each(outputs);
            for (name, columns) in [("W", 400_i64), ("R", 3)] {
                let tensor = graph.initializer.iter_mut().find(|t| t.name == name).unwrap();
                tensor.dims = vec![1, 12, columns];
                tensor.raw_data = vec![0; 12 * 4 * columns as usize];
            }
        })
    };
    let few = lstms_from_bytes::<f32>(&share(5), OnnxDialect::default()).unwrap();
    assert_eq!(few.len(), 5);
    let bytes = share(40);
    let error = lstms_from_bytes::<f32>(&bytes, OnnxDialect::default()).unwrap_err().to_string();
    assert!(error.contains("shared") && error.contains("node `rnn`"), "{error}");
    assert_eq!(nodes_from_bytes(&bytes).unwrap().len(), 40);
    // One long name before many short ones.
    let long = changed(|graph| {
        let mut node = graph.node.remove(0);
        node.attribute.clear();
        node.input = ["X", "W", "R"].map(String::from).to_vec();
        node.output.clear();
        node.name.clear();
        let inner = Graph { node: vec![node; 100], ..Default::default() };
        graph.node.push(Node { name: "n".repeat(100_000), ..with_branch(inner) });
    });
    let error = nodes_from_bytes(&long).unwrap_err().to_string();
    assert!(error.contains("name of a node"), "{error}");
}

#[test]
fn a_chain_is_followed_once() {
    const N: usize = 4000;
    let bytes = changed(|graph| {
        let mut node = graph.node.remove(0);
        node.input = ["X", "w3999", "R"].map(String::from).to_vec();
        node.output.clear();
        graph.node = vec![identity("W", "w0")];
        graph.node.extend((1..N).map(|k| identity(&format!("w{}", k - 1), &format!("w{k}"))));
        graph.node.extend((0..N).map(|k| {
            let mut node = node.clone();
            node.input[1] = format!("w{}", N - 1 - k);
            node
        }));
    });
    let start = std::time::Instant::now();
    assert_eq!(lstms_from_bytes::<f32>(&bytes, OnnxDialect::default()).unwrap().len(), N);
    // Followed anew for each node the chains have 16 million links, each of which is hashed.
    assert!(start.elapsed().as_secs_f64() < 0.5, "{:?}", start.elapsed());
}

#[test]
fn names_domains_and_sparse_values_are_strict() {
    refused(
        |graph| graph.initializer.push(graph.initializer[0].clone()),
        &["number of values called `W`", "more"],
    );
    refused(|graph| graph.node.push(identity("R", "W")), &["number of values called `W`"]);
    // An initialiser may be an input's default.
    let default = changed(|graph| graph.input.push(ValueInfo { name: "W".into(), kind: None }));
    assert_eq!(read(&default).unwrap().weights, read(&model().encode_to_vec()).unwrap().weights);
    let foreign = |graph: &mut Graph| {
        graph.initializer[0].name = "w".into();
        graph.node.push(Node { domain: "com.example".into(), ..identity("w", "W") });
    };
    refused(foreign, &["input W (`W`)", "computed by node"]);
    let sparse = |graph: &mut Graph| {
        graph.initializer.remove(0);
        let values = Some(Tensor { name: "W".into(), ..Default::default() });
        graph.sparse_initializer.push(SparseTensor { values });
    };
    refused(sparse, &["input W (`W`)", "sparse"]);
}

#[test]
fn the_hidden_size_is_that_of_r_where_none_is_said() {
    let bytes = changed(|graph| graph.node[0].attribute.clear());
    assert_eq!(nodes_from_bytes(&bytes).unwrap()[0].attributes.hidden_size, None);
    assert_eq!(read(&bytes).unwrap(), read(&model().encode_to_vec()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    std::fs::write(&path, [0xff; 9]).unwrap();
    let error = crate::onnx::load::<f32>(&path, OnnxDialect::default()).unwrap_err().to_string();
    assert!(error.contains("model.onnx"), "{error}");
}
