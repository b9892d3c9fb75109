//! The pages that are made from the definition of the command line: `docs/reference/cli/*.md` and `docs/man/*.1`. A test
//! holds them to the code; `UPDATE=1 cargo test --lib cli::reference` writes them.

mod man;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::Command;

/// Columns of the help in the pages.
const WIDTH: usize = 110;

/// One page per command of the first level, with its subcommands, by file name.
fn pages() -> BTreeMap<String, String> {
    let mut definition = super::definition().term_width(WIDTH);
    definition.build();
    let mut pages = BTreeMap::new();
    let mut index = String::from(
        "# The commands\n\nMade from the program's own help; `kubectl kubestash <COMMAND> --help` shows the same.\n\n",
    );
    for command in visible(&definition) {
        let name = command.get_name().to_owned();
        index.push_str(&format!("- [{name}]({name}.md): {}\n", about(&command)));
        let mut page = String::new();
        section(&command, &format!("kubectl kubestash {name}"), 1, &mut page);
        pages.insert(format!("{name}.md"), page);
    }
    pages.insert("README.md".to_owned(), index);
    pages
}

fn visible(command: &Command) -> Vec<Command> {
    let shown = |c: &&Command| !c.is_hide_set() && c.get_name() != "help";
    command.get_subcommands().filter(shown).cloned().collect()
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn section(command: &Command, path: &str, depth: usize, page: &mut String) {
    let help = command
        .clone()
        .bin_name(path)
        .term_width(WIDTH)
        .render_long_help()
        .to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    page.push_str(&format!(
        "{} {path}\n\n```text\n{}\n```\n",
        "#".repeat(depth.min(4)),
        help.join("\n").trim()
    ));
    for sub in visible(command) {
        page.push('\n');
        section(&sub, &format!("{path} {}", sub.get_name()), depth + 1, page);
    }
}

/// The manual pages by file name.
fn manuals() -> BTreeMap<String, String> {
    let mut definition = super::definition().name("kubectl-kubestash");
    definition.build();
    let mut pages = BTreeMap::new();
    manual(&definition, "kubectl-kubestash", "kubectl kubestash", &mut pages);
    pages
}

fn manual(command: &Command, name: &str, path: &str, pages: &mut BTreeMap<String, String>) {
    pages.insert(format!("{name}.1"), man::page(command, name, path));
    for sub in visible(command) {
        let word = sub.get_name();
        manual(&sub, &format!("{name}-{word}"), &format!("{path} {word}"), pages);
    }
}

fn hold(directory: &str, pages: &BTreeMap<String, String>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    if std::env::var_os("UPDATE").is_some() {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        for (name, text) in pages {
            fs::write(directory.join(name), text).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        found.insert(name, fs::read_to_string(entry.path()).unwrap());
    }
    for (name, text) in pages {
        assert_eq!(
            found.remove(name).unwrap_or_default(),
            *text,
            "{name}: `UPDATE=1 cargo test --lib cli::reference` writes it"
        );
    }
    assert!(found.is_empty(), "of no command: {:?}", found.keys());
}

#[test]
fn the_pages_of_the_commands_are_current() {
    hold("docs/reference/cli", &pages());
}

#[test]
fn the_manual_pages_are_current() {
    hold("docs/man", &manuals());
}
