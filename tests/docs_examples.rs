//! The code in `docs/library.md` is that of the examples: each block follows a comment that names its file.

use std::path::Path;

#[test]
fn the_code_of_the_page_is_the_examples_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/library.md")).unwrap();
    let blocks: Vec<&str> = page.split("\n```").collect();
    assert!(blocks.len() > 20 && !blocks.len().is_multiple_of(2), "{} parts", blocks.len());
    for pair in blocks.chunks_exact(2) {
        let [before, block] = pair else { unreachable!() };
        let comment = before.lines().last().unwrap();
        let file = comment.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        let file = file.unwrap_or_else(|| panic!("no file is named before:{block}"));
        let source = std::fs::read_to_string(root.join(file)).unwrap();
        let (_language, code) = block.split_once('\n').unwrap();
        assert!(source.contains(&format!("\n{code}\n")), "{file} does not have:\n{code}");
    }
}
