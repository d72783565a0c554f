//! SPEC.md, the examples and the types say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::{json, Value};
use shellrt_api::v0::{self, config, Code, Message, Request};

/// The parts of every message's section, in their order.
const PARTS: [&str; 7] = [
    "Request",
    "Response",
    "Stream",
    "The plugin",
    "The client",
    "Errors",
    "Example",
];

fn api() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shellrt-api")
}

fn read(path: &str) -> String {
    fs::read_to_string(api().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A fenced block of SPEC.md.
struct Block {
    /// The `##` heading it stands under.
    heading: String,
    /// The last line with text before it.
    before: String,
    language: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let spec = read("SPEC.md");
    let (mut heading, mut before) = (String::new(), String::new());
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for line in spec.lines() {
        if let Some(block) = &mut open {
            if line == "```" {
                blocks.extend(open.take());
            } else {
                block.text += line;
                block.text.push('\n');
            }
        } else if let Some(language) = line.strip_prefix("```") {
            open = Some(Block {
                heading: heading.clone(),
                before: before.clone(),
                language: language.to_owned(),
                text: String::new(),
            });
        } else if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut heading);
        } else if !line.is_empty() {
            line.clone_into(&mut before);
        }
    }
    assert!(open.is_none(), "a fence of SPEC.md is not closed");
    blocks
}

/// The sections of the messages: the text under each heading of the part "Messages".
fn messages() -> BTreeMap<String, String> {
    let spec = read("SPEC.md");
    let part = spec.split("\n# Messages\n").nth(1).expect("# Messages");
    let part = part.split("\n# ").next().unwrap_or_default();
    let sections = part.split("\n## ").skip(1);
    let titled = sections.map(|section| section.split_once('\n').expect("a section has lines"));
    titled
        .map(|(title, text)| (title.to_owned(), text.to_owned()))
        .collect()
}

/// The text between the bold word `part` and the next one.
fn part<'a>(section: &'a str, part: &str) -> &'a str {
    let begin = section.find(&format!("\n**{part}**"));
    let begin = begin.unwrap_or_else(|| panic!("no part {part:?} in {section}"));
    let rest = &section[begin + 1..];
    rest.find("\n**").map_or(rest, |end| &rest[..end])
}

/// The names in the first column of a part's table; members of members are left out.
fn fields(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split(" |").next());
    let names = cells.flat_map(|cell| cell.split(", "));
    names
        .map(|name| name.trim_matches('`').to_owned())
        .filter(|name| !name.contains(['.', '[']))
        .collect()
}

/// The public fields of `struct name` in a source file, under their names on the wire.
fn members(source: &str, name: &str) -> BTreeSet<String> {
    let begin = source.find(&format!("pub struct {name} {{"));
    let body = &source[begin.unwrap_or_else(|| panic!("no struct {name}"))..];
    // `struct Request {}` stands on one line.
    let body = body.split("\n}\n").next().unwrap_or_default();
    let body = body.split("{}").next().unwrap_or_default();
    let names = body
        .lines()
        .skip(1)
        .filter_map(|line| line.trim().strip_prefix("pub "));
    names
        .filter_map(|line| line.split(':').next())
        .map(str::to_owned)
        .collect()
}

fn examples() -> BTreeSet<String> {
    let files = fs::read_dir(api().join("examples")).expect("examples");
    let names = files.map(|file| {
        file.expect("a file")
            .file_name()
            .into_string()
            .expect("UTF-8")
    });
    names.filter(|name| name.ends_with(".json")).collect()
}

fn example(kind: &str, end: &str) -> Value {
    serde_json::from_str(&read(&format!("examples/{kind}.{end}.json"))).expect("JSON")
}

#[test]
fn every_message_has_a_section_a_source_file_and_two_examples() {
    let types: BTreeSet<String> = Request::TYPES.iter().map(|&kind| kind.to_owned()).collect();
    assert_eq!(messages().into_keys().collect::<BTreeSet<_>>(), types);
    let expected = types
        .iter()
        .flat_map(|kind| ["request", "response"].map(|end| format!("{kind}.{end}.json")));
    assert_eq!(examples(), expected.collect::<BTreeSet<_>>());
    for kind in &types {
        let source = api().join(format!("src/v0/{kind}.rs"));
        assert!(source.is_file(), "{} is missing", source.display());
        assert_eq!(example(kind, "request")["_type"], **kind);
    }
}

#[test]
fn every_section_has_the_same_parts_in_the_same_order() {
    for (kind, section) in messages() {
        let bold = section.lines().filter_map(|line| line.strip_prefix("**"));
        let found: Vec<&str> = bold.filter_map(|line| line.split("**").next()).collect();
        assert_eq!(found, PARTS, "{kind}");
    }
}

#[test]
fn the_examples_in_the_text_are_the_files() {
    let mut shown = BTreeSet::new();
    for block in blocks().iter().filter(|block| block.language == "json") {
        serde_json::from_str::<Value>(&block.text)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", block.heading, block.text));
        let Some(name) = block.before.strip_prefix("[`examples/") else {
            continue;
        };
        let name = name.split('`').next().unwrap_or_default();
        assert_eq!(
            block.before,
            format!("[`examples/{name}`](examples/{name})")
        );
        assert!(
            name.starts_with(&format!("{}.", block.heading)),
            "{name} under {}",
            block.heading
        );
        assert_eq!(block.text, read(&format!("examples/{name}")), "{name}");
        assert!(shown.insert(name.to_owned()), "{name} is shown twice");
    }
    assert_eq!(shown, examples());
}

#[test]
fn the_types_read_and_write_the_examples() {
    for kind in Request::TYPES {
        let text = example(kind, "request");
        let request = Request::decode(&text).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let mut again = serde_json::to_value(&request).expect("JSON");
        again["_version"] = v0::VERSION.into();
        assert_eq!(again, text, "{kind}");
    }
    answers::<v0::img_pull::Request>();
    answers::<v0::img_remove::Request>();
    answers::<v0::create::Request>();
    answers::<v0::start::Request>();
    answers::<v0::restart::Request>();
    answers::<v0::remove::Request>();
    answers::<v0::stop::Request>();
    answers::<v0::list::Request>();
    answers::<v0::status::Request>();
    answers::<v0::logs::Request>();
    answers::<v0::version::Request>();
    answers::<v0::top::Request>();
    answers::<v0::wait::Request>();
    answers::<v0::attach::Request>();
    answers::<v0::img_list::Request>();
    answers::<v0::exec::Request>();
    answers::<v0::health::Request>();
    answers::<v0::prune::Request>();
    answers::<v0::events::Request>();
    answers::<v0::sys_info::Request>();
}

/// The example response of a message goes through its type unchanged.
fn answers<M: Message>() {
    let text = example(M::TYPE, "response");
    // A client takes the envelope off before it reads the fields.
    let mut fields = text.clone();
    let object = fields.as_object_mut().expect("an object");
    assert_eq!(
        object.remove("_version"),
        Some(json!(v0::VERSION)),
        "{}",
        M::TYPE
    );
    assert_eq!(object.remove("_status"), Some(json!("ok")), "{}", M::TYPE);
    let response: M::Response = serde_json::from_value(fields.clone())
        .unwrap_or_else(|error| panic!("{}: {error}", M::TYPE));
    assert_eq!(
        serde_json::to_value(&response).expect("JSON"),
        fields,
        "{}",
        M::TYPE
    );
}

#[test]
fn the_tables_of_fields_are_those_of_the_types() {
    for (kind, section) in messages() {
        let source = read(&format!("src/v0/{kind}.rs"));
        assert_eq!(
            fields(part(&section, "Request")),
            members(&source, "Request"),
            "{kind}"
        );
        let expected = match kind.as_str() {
            "wait" => BTreeSet::new(),
            "sys_info" => members(&source, "Response")
                .into_iter()
                .filter(|name| name != "more")
                .collect(),
            _ => members(&source, "Response"),
        };
        assert_eq!(fields(part(&section, "Response")), expected, "{kind}");
    }
    for config_type in [
        config::wasm::CONFIG_TYPE,
        config::containerd::CONFIG_TYPE,
        config::containerd_cri::CONFIG_TYPE,
    ] {
        let source = config_type.replace('-', "_");
        let source = read(&format!("src/v0/config/{source}.rs"));
        assert_eq!(
            fields(&config_section(config_type)),
            members(&source, "Config"),
            "{config_type}"
        );
    }
}

/// The text under the heading of a config type.
fn config_section(config_type: &str) -> String {
    let spec = read("SPEC.md");
    let heading = format!("\n### {config_type}\n");
    let section = spec.split(&heading).nth(1);
    let section = section.unwrap_or_else(|| panic!("no section {config_type:?}"));
    let end = ["\n### ", "\n## "]
        .iter()
        .filter_map(|next| section.find(next));
    section[..end.min().unwrap_or(section.len())].to_owned()
}

/// The JSON in the section of a config type.
fn config_example(config_type: &str) -> Value {
    let section = config_section(config_type);
    let example = section.split("```json\n").nth(1).expect("an example");
    let example = example.split("```").next().unwrap_or_default();
    serde_json::from_str(example).expect("JSON")
}

#[test]
fn the_examples_of_configs_are_configs() {
    let example = config_example(config::wasm::CONFIG_TYPE);
    config::decode::<config::wasm::Config>(&example).expect("a config");

    let example = config_example(config::containerd::CONFIG_TYPE);
    let Ok(Request::Create(create)) = Request::decode(&example) else {
        panic!("{example} is no create");
    };
    assert_eq!(create.config_type, config::containerd::CONFIG_TYPE);
    let config: config::containerd::Config = config::decode(&create.config).expect("a config");
    config.check().expect("a config that can be");

    let example = config_example(config::containerd_cri::CONFIG_TYPE);
    let Ok(Request::Create(create)) = Request::decode(&example) else {
        panic!("{example} is no create");
    };
    assert_eq!(create.config_type, config::containerd_cri::CONFIG_TYPE);
    let config: config::containerd_cri::Config = config::decode(&create.config).expect("a config");
    config.check().expect("a config that can be");

    let example = config_example(config::docker::CONFIG_TYPE);
    let Ok(Request::Create(create)) = Request::decode(&example) else {
        panic!("{example} is no create");
    };
    assert_eq!(create.config_type, config::docker::CONFIG_TYPE);
    let (_, unknown) = config::docker::decode(&create.config).expect("a config");
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn the_table_of_errors_is_that_of_the_type() {
    let spec = read("SPEC.md");
    let rows = spec.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").collect();
        let number = cells.first()?.parse::<u32>().ok()?;
        let kind = cells.get(1)?.trim_matches('`').to_owned();
        Some((number, (kind, *cells.get(3)? == "true")))
    });
    let table: BTreeMap<u32, (String, bool)> = rows.collect();

    let source = read("src/v0/error.rs");
    let constants = source.lines().filter_map(|line| {
        let (name, number) = line
            .trim()
            .strip_prefix("pub const ")?
            .split_once(": Code = Code(")?;
        let number = number.strip_suffix(");")?.parse::<u32>().ok()?;
        Some((number, (name.to_lowercase(), Code(number).retryable())))
    });
    assert_eq!(table, constants.collect());
    for (number, (kind, _)) in &table {
        assert_eq!(Code(*number).kind(), Some(kind.as_str()));
    }
}

#[test]
fn the_transcript_is_made_of_requests_and_responses() {
    let life: Vec<Block> = blocks()
        .into_iter()
        .filter(|block| block.heading.starts_with("Appendix"))
        .collect();
    assert!(!life.is_empty());
    let lines: Vec<&str> = life.iter().flat_map(|block| block.text.lines()).collect();
    for pair in lines.chunks(2) {
        let request = pair[0].strip_prefix("> ").expect("a request");
        let response = pair[1].strip_prefix("< ").expect("a response");
        let request: Value = serde_json::from_str(request).expect("JSON");
        assert_eq!(request["_version"], v0::VERSION);
        Request::decode(&request).unwrap_or_else(|error| panic!("{request}: {error}"));
        let object = response.split('␀').next().unwrap_or_default();
        let response: Value = serde_json::from_str(object).expect("JSON");
        assert_eq!(response["_version"], v0::VERSION);
        assert!(
            response["_status"] == "ok" || response["code"].is_u64(),
            "{response}"
        );
    }
}

#[test]
fn the_version_is_that_of_the_types() {
    assert!(read("SPEC.md").contains(&format!("version **{}**", v0::VERSION)));
}

#[test]
fn the_example_plugin_is_small() {
    let lines = read("examples/plugin.py").lines().count();
    assert!(lines <= 100, "examples/plugin.py has {lines} lines");
}
