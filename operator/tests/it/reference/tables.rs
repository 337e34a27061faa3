//! Tables of all fields and conditions of a `PushGroup` and of all flags, in Markdown, made from the CRD, from the words of
//! conditions and from the command lines.
//!
//! *Never:* a word of its own about any of them.

use std::{fmt::Write as _, fs, path::Path};

use clap::{Arg, Command, CommandFactory as _};
use crds::status::{REASONS, condition, reason};
use operator::injection::overrides::{ANNOTATIONS, Annotation};
use serde_json::Value;

/// The files by their paths from the root of the repository, with what is to be in them.
pub(crate) fn files() -> Result<Vec<(&'static str, String)>, Box<dyn std::error::Error>> {
    Ok(vec![
        ("charts/sidegate/docs/pushgroup.md", fields()?),
        ("charts/sidegate/docs/flags.md", flags()),
        ("README.md", readme()?),
    ])
}

/// A link to what Kubernetes says about selectors.
const SELECTOR: &str = "[label selector](https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/)";

/// What is Kubernetes' own and described there.
const FOREIGN: [(&str, &str); 5] = [
    ("spec.selector", SELECTOR),
    ("spec.scrape.networkPolicy.from[].namespaceSelector", SELECTOR),
    ("spec.scrape.networkPolicy.from[].podSelector", SELECTOR),
    ("spec.sidecar.resources.limits", "quantities by resource"),
    ("spec.sidecar.resources.requests", "quantities by resource"),
];

/// Between these two lines of the README stands the table of annotations.
const TABLE_OF_ANNOTATIONS: [&str; 2] = [
    "<!-- Made from the code by `cargo reference`, from here to the end of the table. -->\n",
    "<!-- The end of the table. -->\n",
];

const MADE: &str = "<!-- Made from the code by `cargo reference`; do not edit. -->\n";

fn fields() -> Result<String, Box<dyn std::error::Error>> {
    let crd: Value = serde_yaml::from_str(&crds::custom_resource_definition_yaml()?)?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").ok_or("the CRD has no schema")?;
    let kind = described(schema);
    let mut text =
        format!("{MADE}# PushGroup\n\n{kind}\n\nThe same in a terminal: `kubectl explain pushgroup.spec`.\n");
    for part in ["spec", "status"] {
        let schema = schema.pointer(&format!("/properties/{part}")).ok_or("the CRD has no such part")?;
        write!(text, "\n## {part}\n\n{}\n\n| Field | Type | What |\n| --- | --- | --- |\n", described(schema))?;
        rows(part, schema, &mut text)?;
    }
    conditions(&mut text)?;
    Ok(text)
}

/// What each condition and each of its reasons means.
fn conditions(text: &mut String) -> std::fmt::Result {
    let meaning = |words: &[(&str, &str)], wanted: &str| {
        words.iter().find(|(word, _)| *word == wanted).map(|(_, meaning)| cell(meaning)).unwrap_or_default()
    };
    text.push_str("\n## status.conditions\n\n| Condition | What it says |\n| --- | --- |\n");
    for (condition, what) in condition::ALL {
        writeln!(text, "| `{condition}` | {} |", cell(what))?;
    }
    text.push_str("\n| Condition | Status | Reason | What it says |\n| --- | --- | --- | --- |\n");
    for (condition, status, reasons) in REASONS {
        for one in *reasons {
            writeln!(text, "| `{condition}` | {status} | `{one}` | {} |", meaning(reason::ALL, one))?;
        }
    }
    Ok(())
}

fn rows(path: &str, schema: &Value, text: &mut String) -> std::fmt::Result {
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{name}");
        writeln!(text, "| `{path}` | {} | {} |", type_of(&path, field), cell(&with_default(field)))?;
        if FOREIGN.iter().any(|(known, _)| *known == path) || path == "status.conditions" {
            continue;
        }
        match field.get("items") {
            Some(items) => rows(&format!("{path}[]"), items, text)?,
            None => rows(&path, field, text)?,
        }
    }
    Ok(())
}

fn type_of(path: &str, field: &Value) -> String {
    if let Some((_, foreign)) = FOREIGN.iter().find(|(known, _)| *known == path) {
        return (*foreign).to_owned();
    }
    if let Some(words) = field.get("enum").and_then(Value::as_array) {
        let words: Vec<_> = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    let kind = field.get("type").and_then(Value::as_str).unwrap_or_default();
    let of = |what: &str| field.get(what).and_then(|inner| inner.get("type")).and_then(Value::as_str);
    match (kind, of("items"), of("additionalProperties")) {
        ("array", Some(items), _) => format!("list of {items}s"),
        ("object", _, Some(values)) => format!("{values}s by name"),
        _ => kind.to_owned(),
    }
}

fn described(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// The description, and the schema's default where the description has none.
fn with_default(field: &Value) -> String {
    let description = described(field);
    match field.get("default") {
        Some(default) if !default.is_object() && !description.contains("Default: ") => {
            let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            format!("{description} Default: `{default}`.")
        }
        Some(_) | None => description.to_owned(),
    }
}

/// The README as it is, but for its table of annotations.
fn readme() -> Result<String, Box<dyn std::error::Error>> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?;
    let [start, end] = TABLE_OF_ANNOTATIONS;
    let (before, rest) = readme.split_once(start).ok_or("the README has no table of annotations")?;
    let (_, after) = rest.split_once(end).ok_or("the README's table of annotations has no end")?;
    Ok(format!("{before}{start}\n{}\n{end}{after}", annotations()))
}

fn annotations() -> String {
    let mut text = "| Annotation | Values | Default | What |\n| --- | --- | --- | --- |\n".to_owned();
    for Annotation { name, values, default, effect, .. } in &ANNOTATIONS {
        text.push_str(&format!("| `{name}` | {values} | {default} | {} |\n", cell(effect)));
    }
    text
}

fn flags() -> String {
    let mut text = format!(
        "{MADE}# Flags\n\nEvery flag is an environment variable, too; the flag wins, and an empty variable counts as not \
         set.\n"
    );
    for (name, program) in
        [("sidegate-operator", operator::args::Args::command()), ("sidegate", sidecar::command_line())]
    {
        command(name, &program, &mut text);
        for sub in program.get_subcommands() {
            command(&format!("{name} {}", sub.get_name()), sub, &mut text);
        }
    }
    text
}

fn command(name: &str, command: &Command, text: &mut String) {
    let own = |arg: &&Arg| arg.get_env().is_some() || !["help", "version"].contains(&arg.get_id().as_str());
    let arguments: Vec<_> = command.get_arguments().filter(own).collect();
    let mut headings = Vec::new();
    for heading in arguments.iter().map(|arg| arg.get_help_heading()) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    text.push_str(&format!("\n## {name}\n"));
    for heading in headings {
        if let Some(heading) = heading {
            text.push_str(&format!("\n{heading}:\n"));
        }
        text.push_str("\n| Flag | Variable | Default | What |\n| --- | --- | --- | --- |\n");
        for arg in arguments.iter().filter(|arg| arg.get_help_heading() == heading) {
            text.push_str(&flag(arg));
        }
    }
}

fn flag(arg: &Arg) -> String {
    let value = arg.get_value_names().unwrap_or_default().first().map(|name| format!("={name}")).unwrap_or_default();
    let defaults: Vec<_> =
        arg.get_default_values().iter().map(|default| format!("`{}`", default.to_string_lossy())).collect();
    let variable = arg.get_env().map(|variable| variable.to_string_lossy().into_owned()).unwrap_or_default();
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let help = if help.ends_with('.') { help } else { help + "." };
    let long = arg.get_long().unwrap_or_default();
    format!("| `--{long}{value}` | `{variable}` | {} | {} |\n", defaults.join(", "), cell(&help))
}

/// One line, and no end of a cell in it.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}
