//! What a person sees: a line of the table once in a while, and the verdict.

use std::fmt::Write;
use std::time::Duration;

use sockstep::text::width;

use crate::options::Options;
use crate::site::Site;
use crate::tally::{Count, Tally};
use crate::watch::{Course, Growth, Sample};

/// A parent may have grown by so much: names stay closed to others for two minutes, and its allocator keeps what it
/// has had. What leaks with every connection is more after some ten thousand of them: a longer run sees a smaller leak.
const PARENT_KB: u64 = 1024;
/// Each child, by so much: buffers grow to the longest line that they have seen, and not every child has seen one in
/// the beginning.
const CHILD_KB: u64 = 64;

const COLUMNS: [(&str, usize); 16] = [
    ("분", 6),
    ("접속", 5),
    ("보낸 줄", 9),
    ("전한 줄", 9),
    ("거절", 6),
    ("유실", 6),
    ("들은 줄", 10),
    ("연결", 8),
    ("RST", 6),
    ("SIGHUP", 7),
    ("RSS", 7),
    ("부모", 7),
    ("자식", 8),
    ("fd", 5),
    ("프로세스", 8),
    ("좀비", 5),
];

pub fn opening(options: &Options, seed: u64) {
    println!(
        "클라이언트 {}개가 {}분 동안 서버 네 개(에코와 중계, 평문과 TLS)에 접속합니다. SEED={seed}",
        options.clients, options.minutes
    );
    println!("유실은 보낸 쪽의 연결이 RST나 kill -9로 끊겨 전해지지 않은 줄입니다. RSS는 부모 프로세스 네 개의 VmRSS,");
    println!("부모와 자식은 부모 프로세스 네 개와 모든 자식 프로세스의 Private_Dirty입니다. 단위는 KB입니다.");
    println!();
    println!("{}", in_columns(COLUMNS.map(|(title, _)| title.to_string())));
}

pub fn row(after: Duration, samples: &[Sample], tally: &Tally) {
    let sum = |value: fn(&Sample) -> u64| samples.iter().map(value).sum::<u64>().to_string();
    let count = |what| tally.of(what).to_string();
    println!(
        "{}",
        in_columns([
            format!("{:.2}", after.as_secs_f64() / 60.0),
            sum(|sample| sample.children.len() as u64),
            count(Count::Sent),
            count(Count::Delivered),
            count(Count::Refused),
            count(Count::Lost),
            count(Count::Heard),
            count(Count::Connections),
            (tally.of(Count::Resets) + tally.of(Count::ConnectResets)).to_string(),
            count(Count::Reloads),
            sum(|sample| sample.rss),
            sum(|sample| sample.parent.private_dirty),
            sum(Sample::children_dirty),
            sum(|sample| sample.fds as u64),
            sum(|sample| sample.processes as u64),
            sum(|sample| sample.zombies.len() as u64),
        ])
    );
    tally.take_failures().iter().for_each(|failure| println!("  실패: {failure}"));
}

pub fn interrupted() {
    println!("Ctrl-C: 클라이언트들을 내보내고 끝냅니다. 한 번 더 누르면 바로 끝납니다.");
}

pub struct Outcome<'a> {
    pub sites: &'a [Site],
    pub courses: &'a [Course],
    pub tally: &'a Tally,
    pub lasted: Duration,
}

/// True when all was right.
pub fn verdict(outcome: &Outcome<'_>, options: &Options, seed: u64) -> bool {
    let tally = outcome.tally;
    tally.take_failures().iter().for_each(|failure| println!("  실패: {failure}"));
    let done: Vec<String> =
        Count::ALL.iter().skip(5).map(|count| format!("{} {}", count.words(), tally.of(*count))).collect();
    println!("\n{:.1}분 동안: {}", outcome.lasted.as_secs_f64() / 60.0, done.join(", "));
    let [sent, delivered, refused, lost] =
        [Count::Sent, Count::Delivered, Count::Refused, Count::Lost].map(|count| tally.of(count));
    println!("줄: 보냄 {sent} = 전함 {delivered} + 거절 {refused} + 유실 {lost}");
    let mut faults = Vec::new();
    if tally.failed() > 0 {
        faults.push(format!("실패 {}건", tally.failed()));
    }
    let missing = tally.missing();
    if !missing.is_empty() && !tally.is_interrupted() {
        faults.push(format!("한 번도 없었던 일: {}", missing.join(", ")));
    }
    println!("메모리는 실행 시간을 다섯으로 나누어 둘째와 마지막 부분의 중앙값을 비교합니다 (Anonymous, KB).");
    for (site, course) in outcome.sites.iter().zip(outcome.courses) {
        faults.extend(judge(site.name, course));
    }
    if faults.is_empty() {
        println!("결과: 사라진 줄 없음, 누수 없음. 모두 나간 뒤에 자식 프로세스, 좀비, 디스크립터가 남지 않았습니다.");
    } else {
        println!("결과: 문제가 있습니다. {}", faults.join("; "));
        println!("같은 부하를 다시 걸려면: make soak MINUTES={} SEED={seed}", options.minutes);
    }
    faults.is_empty()
}

/// What of a server has grown.
fn judge(name: &str, course: &Course) -> Vec<String> {
    let mut faults = Vec::new();
    if course.has_lasting_zombie() {
        faults.push(format!("{name}: 거두지 않은 좀비"));
    }
    let (Some(parent), Some((children, count))) = (course.of_parent(), course.of_children()) else {
        println!("  {name}: 너무 짧아서 판단하지 않습니다");
        return faults;
    };
    let mut line = format!("  {name}: ");
    for (what, growth, tolerated) in
        [("부모".to_string(), &parent, PARENT_KB), (format!("끝까지 있던 자식 {count}개"), &children, CHILD_KB * count)]
    {
        let most = growth.early + tolerated;
        let Growth { early, late } = growth;
        let _ = write!(line, "{what} {early} → {late} (허용 {most})  ");
        if *late > most {
            faults.push(format!("{name}: {what}의 메모리가 {early}에서 {late}로 늘었습니다"));
        }
    }
    println!("{}", line.trim_end());
    faults
}

fn in_columns(cells: [String; COLUMNS.len()]) -> String {
    let padded = |(cell, (_, columns)): (&String, (&str, usize))| {
        let used: usize = cell.chars().map(width).sum();
        " ".repeat(columns.saturating_sub(used)) + cell
    };
    cells.iter().zip(COLUMNS).map(padded).collect::<Vec<_>>().join(" ")
}
