//! What is wrong in a page is found, each kind of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A file that is shown in parts.
const PARTS: &str = "fn main() {
    // ANCHOR: first
    one();
    // ANCHOR_END: first
    // ANCHOR: second
    two();

        three();
    // ANCHOR_END: second
}
";

/// A small repository in which all is well.
fn repository() -> TempDir {
    let root = TempDir::new().unwrap();
    let at = root.path();
    put(at, "Makefile", "demo: ## shows it\n\t@true\n");
    put(at, "scripts/book.sh", "mdbook build\ncp -r examples \"$book/\"\n");
    put(at, "crates/other/lib.rs", "");
    put(at, "examples/Cargo.toml", "");
    put(at, "examples/one.rs", "fn main() {}\n");
    put(at, "examples/parts.rs", PARTS);
    put(at, "docs/SUMMARY.md", "- [One](one.md)\n- [Two](deep/two.md)\n");
    put(
        at,
        "docs/one.md",
        "# One\n\n## A, *b*\n\n[down](deep/two.md#its-end), [here](#a-b), [out](https://example.org/x#y)\n",
    );
    put(
        at,
        "docs/deep/two.md",
        "# Two\n\n## Its `end`\n\n[up](../one.md), ![an image](../../examples/one.rs)\n",
    );
    put(
        at,
        "README.md",
        "# A place\n\n[docs](docs/one.md)\n\n<!-- shows examples/one.rs -->\n\n```rust\nfn main() {}\n```\n",
    );
    put(at, "target/old.md", "[nowhere](nowhere.md)\n");
    root
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn check(root: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pages")).arg(root).output().unwrap()
}

#[test]
fn a_repository_in_which_all_is_well_passes() {
    let root = repository();
    let output = check(root.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = "pages: 4, links: 8, files shown: 1; all is there\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn each_kind_of_fault_is_told_with_its_line() {
    let table = [
        ("\n[a](nowhere.md)\n", "docs/new.md:2: nowhere.md leads to docs/nowhere.md, which is not there"),
        ("![a](img/x.png)\n", "docs/new.md:1: img/x.png leads to docs/img/x.png, which is not there"),
        ("[a](one.md#b)\n", "docs/new.md:1: docs/one.md has no heading #b"),
        ("# A\n\n[a](#b)\n", "docs/new.md:3: docs/new.md has no heading #b"),
        ("[a](../examples/one.rs#L1)\n", "names a place in examples/one.rs, which has none"),
        ("[a](../../x.md)\n", "docs/new.md:1: ../../x.md leads out of the repository"),
        (
            "[a](../crates/other/lib.rs)\n",
            "docs/new.md:1: ../crates/other/lib.rs leads to crates/other/lib.rs, which the book does not have",
        ),
        (
            "\n[a](../README.md#a-place)\n",
            "docs/new.md:2: ../README.md#a-place leads to README.md, which the book does not have",
        ),
        ("[a](/etc/passwd)\n", "docs/new.md:1: /etc/passwd leads out of the repository"),
        ("[a][b]\n", "docs/new.md:1: [b] is not defined in this page"),
        ("| a |\n| - |\n| [a](nowhere.md) |\n", "docs/new.md:3: nowhere.md leads to"),
        (
            "<!-- shows ../examples/one.rs -->\n\n```rust\nfn other() {}\n```\n",
            "docs/new.md:3: is not what examples/one.rs has, from its line 1 on",
        ),
        (
            "<!-- shows ../examples/one.rs -->\n\n```rust\nfn main() {}\n// more\n```\n",
            "docs/new.md:3: is not all, or more, of what examples/one.rs has",
        ),
        (
            "<!-- shows ../examples/one.rs -->\n\nwords\n",
            "docs/new.md:1: shows ../examples/one.rs, and no code",
        ),
        ("<!-- shows ../examples/two.rs -->\n\n```rust\n```\n", "docs/new.md:3: cannot read examples/two.rs"),
        ("```rust\nfn main() {}\n```\n", "docs/new.md:1: is Rust of no file"),
        ("```rust,ignore\nfn main() {}\n```\n", "docs/new.md:1: is Rust of no file"),
        (
            "<!-- shows ../examples/parts.rs at nothing -->\n\n```rust\n```\n",
            "docs/new.md:3: examples/parts.rs has no part nothing",
        ),
        (
            "<!-- shows ../examples/parts.rs at second -->\n\n```rust\ntwo();\n\n    four();\n```\n",
            "docs/new.md:3: is not what examples/parts.rs has, from its line 3 on",
        ),
        (
            "<!-- shows ../examples/parts.rs at second -->\n\n```rust\ntwo();\n```\n",
            "docs/new.md:3: is not all, or more, of what examples/parts.rs has",
        ),
        ("```console\n$ make coffee\n```\n", "docs/new.md:2: the Makefile has no target coffee"),
        ("```console\n$ A=1 cargo run -p nobody\n```\n", "docs/new.md:2: there is no package nobody"),
        ("# A\n\nSee `make demo tea`.\n", "docs/new.md:3: the Makefile has no target tea"),
        ("`A=1 cargo run -q -p nobody -- a`\n", "docs/new.md:1: there is no package nobody"),
        (
            "```console\n$ cargo run -p examples --example two\n```\n",
            "docs/new.md:2: examples has no example two",
        ),
    ];
    for (page, expected) in table {
        let root = repository();
        put(root.path(), "docs/SUMMARY.md", "- [One](one.md)\n- [Two](deep/two.md)\n- [New](new.md)\n");
        put(root.path(), "docs/new.md", page);
        let output = check(root.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{page}");
        assert!(told.contains(expected) && told.contains("faults: 1\n"), "{page}: {told}");
    }
}

#[test]
fn what_commands_name_may_be_there() {
    let root = repository();
    let page = "```console\n$ KEEP=1 make demo   # a remark\n$ make\n$ cargo run -p examples --example one -- -p x\n$ make -j2 demo && make demo\n$ ls\nout\n```\n";
    put(root.path(), "docs/one.md", &format!("{page}## A, *b*\n"));
    let output = check(root.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_page_that_is_no_chapter_is_told() {
    let root = repository();
    put(root.path(), "docs/new.md", "# New\n");
    let output = check(root.path());
    assert!(String::from_utf8_lossy(&output.stderr).contains("docs/new.md is no chapter of the book"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_part_of_a_file_may_be_shown_and_stands_at_the_left() {
    let root = repository();
    let page =
        "<!-- shows examples/parts.rs at second with two as 2 -->\n\n```rust\n2();\n\n    three();\n```\n";
    put(root.path(), "README.md", page);
    let output = check(root.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn words_may_be_others_where_a_page_says_so() {
    let root = repository();
    let page = "<!-- shows examples/one.rs with main as start -->\n\n```rust\nfn start() {}\n```\n";
    put(root.path(), "README.md", page);
    assert!(check(root.path()).status.success());
}
