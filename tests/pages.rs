//! The page of `sockstep timeline -o x.html` in a real browser, by keyboard.
#![allow(clippy::unwrap_used)]

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use browser::Page;
use support::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn draw(files: &[PathBuf], output: &Path) {
    let done = run(Command::new(BIN).arg("timeline").args(files).arg("-o").arg(output), b"");
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
}

/// Presses a key until the page has come to a call that begins like this.
fn step_to(page: &mut Page, call: &str) {
    for _ in 0..200 {
        if page.text("document.getElementById('call').textContent").starts_with(call) {
            return;
        }
        page.press("ArrowRight");
    }
    panic!("never came to {call}");
}

/// The rows of the table of sockets, each as its words.
fn sockets(page: &mut Page) -> Vec<String> {
    let rows = "[...document.querySelectorAll('#rows tr:not(.gone)')].map(row => [...row.cells].map(cell => cell.textContent).join(' ')).join('\\n')";
    page.text(rows).lines().map(String::from).collect()
}

const COUNT: &str = "document.getElementById('count').textContent";
const VISIBLE: &str =
    "[...document.querySelectorAll('.event')].filter(event => getComputedStyle(event).visibility === 'visible').length";

#[test]
fn a_class_walks_through_a_run_with_the_arrow_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.html");
    draw(&[fixture("echo.server.trace"), fixture("echo.client1.trace")], &path);
    let Some(mut page) = Page::open(&path) else { return };

    // Nothing has been clicked: the keys work from the first moment.
    assert_eq!(page.text(COUNT), "1 / 40");
    page.press("ArrowRight");
    assert_eq!((page.text(COUNT).as_str(), page.number(VISIBLE)), ("2 / 40", 2.0));
    page.press("ArrowLeft");
    assert_eq!(page.text(COUNT), "1 / 40");
    page.press("ArrowLeft");
    assert_eq!(page.text(COUNT), "1 / 40", "there is nothing before the first");

    step_to(&mut page, "listen(3");
    assert_eq!(page.text("document.getElementById('who').textContent"), "서버 (부모) · pid 12485");
    let why = sockstep::lesson::words::of("listen").unwrap().why;
    assert_eq!(page.text("document.getElementById('why').textContent"), why);
    assert_eq!(sockets(&mut page), ["서버 (부모) 3 tcp LISTEN 0 4096 127.0.0.1:7361 0.0.0.0:*"]);
    let lit = "document.querySelectorAll('.event.now').length + ' ' + document.querySelector('.event.now').textContent";
    assert!(page.text(lit).starts_with("1 ") && page.text(lit).ends_with("listen(3, 4096) = 0"), "{}", page.text(lit));

    step_to(&mut page, "accept4(3");
    let now = sockets(&mut page);
    assert!(now.contains(&"서버 (부모) 6 tcp ESTAB 0 0 127.0.0.1:7361 127.0.0.1:33792".into()), "{now:?}");
    assert!(now.contains(&"클라이언트 1 3 tcp ESTAB 0 0 127.0.0.1:33792 127.0.0.1:7361".into()), "{now:?}");
    step_to(&mut page, "fork() = 0");
    let now = sockets(&mut page);
    assert!(now.iter().any(|row| row.starts_with("자식 c1 3 tcp LISTEN")), "a child has copies of all: {now:?}");
    step_to(&mut page, "recv(6");
    let now = sockets(&mut page);
    assert!(!now.iter().any(|row| row.starts_with("자식 c1 3 ")), "close_range has closed it: {now:?}");

    step_to(&mut page, "recv(7");
    let of_a_pair = sockstep::lesson::words::why("recv(7, \"\", 204800, MSG_TRUNC) = 0", true).unwrap();
    assert_eq!(page.text("document.getElementById('why').textContent"), of_a_pair);

    page.press("End");
    assert_eq!((page.text(COUNT).as_str(), page.number(VISIBLE)), ("40 / 40", 40.0));
    assert_eq!(sockets(&mut page), [""; 0], "everything is closed");
    page.press("Home");
    assert_eq!((page.text(COUNT).as_str(), page.number(VISIBLE)), ("1 / 40", 1.0));
    // The slider has the focus: the key moves it once and not twice.
    page.make("document.getElementById('slider').focus()");
    page.press("ArrowRight");
    assert_eq!(page.text(COUNT), "2 / 40");
    page.make("document.getElementById('next').click()");
    assert_eq!((page.text(COUNT).as_str(), page.text("location.hash").as_str()), ("3 / 40", "#3"));
}

#[test]
fn the_current_call_is_always_in_view_and_the_page_is_light_or_dark_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.html");
    let clients = (1..=3).map(|client| fixture(&format!("relay.client{client}.trace")));
    draw(&clients.chain([fixture("relay.server.trace")]).collect::<Vec<_>>(), &path);
    let Some(mut page) = Page::open(&path) else { return };
    for _ in 0..60 {
        page.press("ArrowRight");
        let inside = "(() => { const box = document.querySelector('.event.now rect').getBoundingClientRect(), pane = document.getElementById('lanes').getBoundingClientRect(); \
                      return box.top >= pane.top && box.bottom <= pane.bottom && box.left >= pane.left && box.right <= pane.right; })()";
        assert!(page.holds(inside), "{}", page.text(COUNT));
    }
    for (scheme, ground) in [("light", "rgb(255, 255, 255)"), ("dark", "rgb(15, 23, 42)")] {
        page.prefer(scheme);
        assert_eq!(page.text("getComputedStyle(document.body).backgroundColor"), ground);
    }
    let fetched = "performance.getEntriesByType('resource').length";
    assert_eq!(page.number(fetched), 0.0, "the page needs nothing but itself");
}

#[test]
fn what_a_trace_holds_stays_text() {
    let dir = tempfile::tempdir().unwrap();
    let hostile =
        "</script><script>document.title='caught'</script><img src=x onerror=\\\"document.title='caught'\\\">";
    let trace = dir.path().join("hostile.trace");
    let line = format!("5\tclient\t7\tsend(3, \"{hostile}\", 9, 0) = 9\t1\t{hostile}\t{hostile}\n");
    std::fs::write(&trace, line).unwrap();
    let path = dir.path().join("run.html");
    draw(&[trace], &path);
    let Some(mut page) = Page::open(&path) else { return };
    assert!(page.text("document.getElementById('call').textContent").contains(hostile));
    assert_eq!(page.text("document.title"), "sockstep timeline");
    assert_eq!(page.number("document.images.length"), 0.0);
    // And if something got in all the same, the page's policy would not let it run.
    page.make("document.body.appendChild(Object.assign(document.createElement('script'), { textContent: \"document.title='caught'\" }))");
    assert_eq!(page.text("document.title"), "sockstep timeline");
}
