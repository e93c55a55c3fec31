//! The notes and the source point to each other, the course's rows are all there, and every link leads somewhere.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "notes/chapter.rs"]
mod chapter;
#[path = "notes/step.rs"]
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::path::Path;
use std::sync::LazyLock;

use chapter::{Chapter, chapters, root};
use regex::Regex;

/// Which chapter claims which rows of the course: goals, ideas, misconceptions.
const CLAIMS: [(&str, &str); 16] = [
    ("00", "g1 g2 g3 g5"),
    ("01", "c1 c2 m19"),
    ("02", "c3 c5 c6 c7 c16 m5 m13"),
    ("03", "c8"),
    ("04", "c9 m7 m15 m24"),
    ("05", "c10 c11 m2 m3"),
    ("06", "c12 c13 c14 m1 m4 m14 m17"),
    ("07", "c15 m12"),
    ("08", "c4 m8 m9 m10 m11 m16"),
    ("09", "m6"),
    ("10", "m23"),
    ("11", "m18"),
    ("12", "m20 m21"),
    ("13", "g4 m22"),
    ("14", ""),
    ("15", ""),
];

/// Rows that are told without an experiment of their own.
const TOLD: [&str; 6] = ["g5", "c1", "c2", "c5", "c6", "c8"];

fn rows_of_the_course() -> BTreeSet<String> {
    let rows = [("g", 5), ("c", 16), ("m", 24)];
    rows.iter().flat_map(|(kind, count)| (1..=*count).map(move |n| format!("{kind}{n}"))).collect()
}

fn is_a_row(id: &&String) -> bool {
    rows_of_the_course().contains(*id)
}

/// All Rust files below `src/`, with their paths as the notes write them.
fn sources() -> BTreeMap<String, String> {
    fn collect(dir: &Path, found: &mut BTreeMap<String, String>) {
        for path in read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            match path.extension() {
                None => collect(&path, found),
                Some(extension) if extension == "rs" => {
                    let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_string();
                    found.insert(name, read_to_string(&path).unwrap());
                }
                Some(_) => {}
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(&root().join("src"), &mut found);
    found
}

#[test]
fn every_row_of_the_course_is_claimed_by_its_chapter_alone() {
    let claimed: BTreeSet<String> =
        CLAIMS.iter().flat_map(|(_, ids)| ids.split_whitespace()).map(String::from).collect();
    assert_eq!(claimed, rows_of_the_course());
    for (chapter, (number, ids)) in chapters().iter().zip(CLAIMS) {
        assert_eq!(chapter.number(), number);
        let mut found: Vec<&str> = chapter.ids.iter().filter(is_a_row).map(String::as_str).collect();
        let mut wanted: Vec<&str> = ids.split_whitespace().collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{}", chapter.file);
    }
    assert_eq!(chapters().len(), CLAIMS.len());
}

#[test]
fn every_row_that_can_be_seen_has_an_experiment_in_its_chapter() {
    for chapter in chapters() {
        let proven: BTreeSet<&String> = chapter.experiments.iter().flat_map(|experiment| &experiment.ids).collect();
        for id in chapter.ids.iter().filter(is_a_row) {
            assert!(proven.contains(id) || TOLD.contains(&id.as_str()), "{}: no experiment for {id}", chapter.file);
        }
        for id in proven {
            assert!(chapter.ids.contains(id), "{}: an experiment for {id}, which is not told here", chapter.file);
        }
        for experiment in &chapter.experiments {
            assert!(
                experiment.steps.iter().any(|step| !step.expected.is_empty()),
                "{}: shows nothing",
                experiment.place
            );
        }
    }
}

#[test]
fn a_misconception_is_quoted_as_one() {
    let mut seen = 0;
    for chapter in chapters() {
        let lines: Vec<&str> = chapter.text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let claims = line.starts_with("<a id=\"m");
            let quotes = line.starts_with("> **흔한 오해** ");
            assert!(
                !claims || lines[n + 1].starts_with("> **흔한 오해** "),
                "{}:{}: no misconception here",
                chapter.file,
                n + 1
            );
            assert!(!quotes || lines[n - 1].starts_with("<a id=\"m"), "{}:{}: which one is this?", chapter.file, n + 1);
            seen += usize::from(claims);
        }
    }
    assert_eq!(seen, 24);
}

#[test]
fn a_call_and_its_chapters_name_each_other() {
    let chapters = chapters();
    let sources = sources();
    let header = |file: &str, key: &str| {
        let key = format!("//! - {key}: ");
        sources[file].lines().find_map(|line| line.strip_prefix(&key)).unwrap().to_string()
    };
    let calls: Vec<&String> =
        sources.keys().filter(|file| file.starts_with("src/lifecycle/") && !file.ends_with("mod.rs")).collect();
    assert!(calls.len() >= 15);
    let page = Regex::new(r"[a-z0-9_]+\([1-8]\)").unwrap();
    for call in calls {
        let (notes, manual) = (header(call, "Notes"), header(call, "Manual"));
        for chapter in &chapters {
            let named = notes.contains(&format!("notes/{}", chapter.file));
            let names = chapter.header("소스").contains(&format!("(../{call})"));
            assert_eq!(named, names, "{call} and {}: one of them does not know the other", chapter.file);
            for found in page.find_iter(&manual).filter(|_| names) {
                assert!(chapter.header("매뉴얼").contains(found.as_str()), "{}: no {}", chapter.file, found.as_str());
            }
        }
        assert!(notes.split(", ").all(|file| root().join(file).is_file()), "{call}: {notes}");
    }
    for words in sockstep::lesson::words::WORDS {
        assert!(root().join(words.chapter).is_file(), "{}: {}", words.call, words.chapter);
    }
}

#[test]
fn a_file_whose_header_names_a_chapter_is_named_there() {
    let chapters = chapters();
    let mut seen = 0;
    for (file, text) in sources() {
        let Some(notes) = text.lines().find_map(|line| line.strip_prefix("//! - Notes: ")) else { continue };
        for chapter in chapters.iter().filter(|chapter| notes.contains(&chapter.file)) {
            assert!(chapter.text.contains(&file), "{}: {file} leads here, and nothing leads back", chapter.file);
            seen += 1;
        }
    }
    assert!(seen > 25, "only {seen} found: is the pattern still right?");
}

#[test]
fn every_file_of_the_source_that_names_a_chapter_names_one_that_exists() {
    let named = Regex::new(r"notes/[0-9a-z-]+\.md").unwrap();
    let mut seen = 0;
    for (file, text) in sources() {
        for found in named.find_iter(&text) {
            assert!(root().join(found.as_str()).is_file(), "{file}: {}", found.as_str());
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} found: is the pattern still right?");
}

#[test]
fn a_chapter_says_where_it_lives_and_what_comes_before_and_after_it() {
    let chapters = chapters();
    let link = |n: usize| format!("({})", chapters[n].file);
    for (n, chapter) in chapters.iter().enumerate() {
        assert!(chapter.text.starts_with(&format!("# {}. ", chapter.number())), "{}: its title", chapter.file);
        assert!(chapter.text.lines().count() <= 200, "{}: {} lines", chapter.file, chapter.text.lines().count());
        assert!(chapter.header("소스").contains("](../src/"), "{}: no source", chapter.file);
        assert!(!chapter.header("매뉴얼").is_empty() && !chapter.header("표준").is_empty());
        let (before, after) = chapter.header("앞뒤 장").split_once(&format!("← {} →", chapter.number())).unwrap();
        assert!(n == 0 || before.contains(&link(n - 1)), "{}: what comes before it", chapter.file);
        assert!(n + 1 == chapters.len() || after.contains(&link(n + 1)), "{}: what comes after it", chapter.file);
    }
}

#[test]
fn every_link_leads_somewhere() {
    let chapters = chapters();
    let leads = |from: &Chapter, link: &str| {
        let (file, place) = link.split_once('#').map_or((link, None), |(file, place)| (file, Some(place)));
        let target = if file.is_empty() { from.file.as_str() } else { file };
        let Some(place) = place else { return root().join("notes").join(target).exists() };
        let chapter = chapters.iter().find(|chapter| chapter.file == target);
        chapter.is_some_and(|chapter| chapter.headings.iter().chain(&chapter.ids).any(|known| known == place))
    };
    let mut seen = 0;
    for chapter in &chapters {
        for link in chapter.links.iter().filter(|link| !link.starts_with("https://")) {
            assert!(leads(chapter, link), "{}: {link} leads nowhere", chapter.file);
            seen += 1;
        }
    }
    assert!(seen > 60, "only {seen} links found");
}

#[test]
fn every_figure_is_shown_and_described() {
    let chapters = chapters();
    let shown: BTreeSet<&str> = chapters.iter().flat_map(|chapter| &chapter.pictures).map(String::as_str).collect();
    let files = read_dir(root().join("notes/figures")).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "svg"))
        .map(|path| format!("figures/{}", path.file_name().unwrap().to_str().unwrap()))
        .collect();
    assert_eq!(shown, files.iter().map(String::as_str).collect::<BTreeSet<_>>());
    let described = Regex::new(r"!\[[^\]]*\p{Hangul}[^\]]*\]\(figures/").unwrap();
    for chapter in &chapters {
        assert_eq!(described.find_iter(&chapter.text).count(), chapter.pictures.len(), "{}: undescribed", chapter.file);
    }
}

static ANCHOR: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"// \[(\d\d\.[a-z0-9-]+)\]").unwrap());

#[test]
fn every_anchor_in_the_source_is_quoted_by_its_chapter() {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for (file, text) in sources() {
        for found in ANCHOR.captures_iter(&text) {
            places.entry(found[1].to_string()).or_default().push(file.clone());
        }
    }
    for (anchor, files) in &places {
        assert_eq!(files.len(), 1, "[{anchor}] stands in {files:?}");
    }
    let quoted = Regex::new(r"^\[(\d\d\.[a-z0-9-]+)\]$").unwrap();
    let mut seen = BTreeSet::new();
    for chapter in chapters() {
        for found in chapter.words.iter().filter_map(|words| quoted.captures(words)) {
            let anchor = &found[1];
            assert!(anchor.starts_with(chapter.number()), "{} quotes [{anchor}]", chapter.file);
            let files = places.get(anchor).unwrap_or_else(|| panic!("{}: no [{anchor}] in the source", chapter.file));
            assert!(
                chapter.text.contains(&format!("(../{})", files[0])),
                "{}: [{anchor}] is in {files:?}",
                chapter.file
            );
            seen.insert(anchor.to_string());
        }
    }
    assert_eq!(seen, places.into_keys().collect(), "an anchor that its chapter does not quote");
    assert!(seen.len() > 20, "only {} anchors found", seen.len());
}

#[test]
fn code_in_the_notes_stands_in_the_source() {
    let plain = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let sources: Vec<String> = sources().values().map(|text| plain(text)).collect();
    for chapter in chapters() {
        for quote in &chapter.quotes {
            assert!(quote.lines().count() <= 5, "{}: more than five lines of code", chapter.file);
            let quote = plain(quote);
            assert!(sources.iter().any(|text| text.contains(&quote)), "{}: not in src:\n{quote}", chapter.file);
        }
    }
}

#[test]
fn experiments_do_not_get_in_each_others_way() {
    let port = Regex::new(r"\b7[0-9]{3}\b").unwrap();
    for chapter in chapters() {
        let mut taken = BTreeSet::new();
        for experiment in &chapter.experiments {
            let typed: Vec<&str> = experiment.steps.iter().map(|step| step.text.as_str()).collect();
            let typed = typed.join("\n");
            let ports: BTreeSet<String> = port.find_iter(&typed).map(|found| found.as_str().to_string()).collect();
            for port in ports {
                assert!(port.starts_with(&format!("7{}", chapter.number())), "{}: {port}", experiment.place);
                assert!(taken.insert(port.clone()), "{}: {port} is another experiment's", experiment.place);
            }
            assert!(!typed.contains("sleep "), "{}: a sleep is no wait", experiment.place);
        }
    }
}

#[test]
fn the_notes_speak_in_one_voice() {
    let other = Regex::new(r"(해|어|아|에|세|예|지|네|죠|군)요[.?!]|[가-힣]죠[.?!]").unwrap();
    for chapter in chapters() {
        for (n, line) in chapter.text.lines().enumerate() {
            assert!(!other.is_match(line), "{}:{}: not 합니다체: {line}", chapter.file, n + 1);
        }
    }
}
