//! The picture: counts, the rate, types and users.

use std::collections::VecDeque;
use std::time::Duration;

use outbox_operate::{age, clean, cut};
use outbox_runtime::Clock as _;
use outbox_runtime::store::SystemClock;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};
use tokio::sync::mpsc::Receiver;

use super::keys::{self, Input};
use super::terminal::{Raw, restore};
use super::watcher::{Look, Watcher};
use crate::failure::Failure;

pub(super) async fn run(
    watcher: &mut Watcher<'_>,
    interval: Duration,
    count: Option<u64>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::writing("the terminal", &error);
    let mut raw = Raw::enter().map_err(failed)?;
    let mut inputs = keys::listen().map_err(failed)?;
    // What came in during a look and can wait for its end.
    let mut kept = VecDeque::new();
    let mut looks = 0;
    let mut last: Option<Look> = None;
    let mut next_look = SystemClock.uptime();
    loop {
        if SystemClock.uptime() >= next_look {
            next_look = SystemClock.uptime().saturating_add(interval);
            // A failure is shown beside what was seen last.
            let look = tokio::select! {
                look = watcher.look() => look,
                ended = until_ended(&mut inputs, &mut kept) => return ended,
            };
            let error = match look {
                Ok(look) => {
                    last = Some(look);
                    None
                }
                Err(Failure::Message(message)) => Some(message),
                Err(failure) => return Err(failure),
            };
            draw(&mut raw, watcher, last.as_ref(), error.as_deref()).map_err(failed)?;
            looks += 1;
            if count.is_some_and(|count| looks >= count) {
                return Ok(());
            }
        }
        let pause = next_look.saturating_sub(SystemClock.uptime());
        let input = match kept.pop_front() {
            Some(input) => Some(input),
            None => tokio::select! {
                input = inputs.recv() => input,
                () = SystemClock.sleep(pause) => continue,
            },
        };
        match input {
            None | Some(Input::Quit) => return Ok(()),
            Some(Input::Terminate) => return Err(terminated()),
            Some(Input::Refresh | Input::Resize) => next_look = SystemClock.uptime(),
            Some(Input::Stop) => {
                restore();
                keys::stop();
                raw.enter_again().map_err(failed)?;
                next_look = SystemClock.uptime();
            }
            Some(Input::Continue) => {
                raw.enter_again().map_err(failed)?;
                next_look = SystemClock.uptime();
            }
        }
    }
}

/// Waits for an input that ends the view, whatever a look does meanwhile, and keeps the others.
async fn until_ended(
    inputs: &mut Receiver<Input>,
    kept: &mut VecDeque<Input>,
) -> Result<(), Failure> {
    loop {
        match inputs.recv().await {
            None | Some(Input::Quit) => return Ok(()),
            Some(Input::Terminate) => return Err(terminated()),
            Some(input) => kept.push_back(input),
        }
    }
}

fn terminated() -> Failure {
    Failure::new("ended by a signal, or without its terminal")
}

fn draw(
    raw: &mut Raw,
    watcher: &Watcher<'_>,
    look: Option<&Look>,
    error: Option<&str>,
) -> std::io::Result<()> {
    let drawn = raw.terminal.draw(|frame| {
        let [head, counts, rate, tables, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(4),
            Constraint::Length(6),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let name = clean(&watcher.place.name()).into_owned();
        frame.render_widget(Line::from(name).bold(), head);
        if let Some(look) = look {
            frame.render_widget(numbers(look), counts);
            draw_rate(frame, rate, watcher, look);
            draw_tables(frame, tables, look);
        }
        let foot_line = match error {
            Some(error) => Line::from(clean(error).into_owned()).red(),
            None => Line::from("q quit   r look now").dim(),
        };
        frame.render_widget(foot_line, foot);
    });
    drawn.map(drop)
}

fn numbers(look: &Look) -> Paragraph<'static> {
    let counts = &look.statistics;
    let number = |name: &str, count: u64, color: Color| {
        let style = match count {
            0 => Style::new().dim(),
            _ => Style::new().fg(color).bold(),
        };
        [
            Span::styled(format!("{count:>9} "), style),
            Span::raw(format!("{name:<14}")),
        ]
    };
    let mut waiting = Vec::new();
    waiting.extend(number("pending", counts.pending_count, Color::Cyan));
    waiting.extend(number("processing", counts.processing_count, Color::Cyan));
    waiting.extend(number("failed", counts.failed_count, Color::Yellow));
    let mut ended = Vec::new();
    ended.extend(number("dead", counts.dead_count, Color::Red));
    ended.extend(number("stale", counts.stale_count, Color::Red));
    ended.extend(number("completed", counts.completed_total, Color::Green));
    let oldest = counts.oldest_pending_date;
    let oldest = oldest.map_or_else(|| "-".to_owned(), |at| age(look.at, at));
    let lines = vec![
        Line::from(waiting),
        Line::from(ended),
        Line::from(format!("{oldest:>9} oldest pending")),
    ];
    Paragraph::new(lines)
}

fn draw_rate(frame: &mut Frame<'_>, area: Rect, watcher: &Watcher<'_>, look: &Look) {
    let rate = look.deliveries_per_second.unwrap_or_default();
    let title = format!(" {rate:.1} deliveries a second ");
    let width = usize::from(area.width);
    let skipped = watcher.history.len().saturating_sub(width);
    let bars: Vec<u64> = watcher
        .history
        .iter()
        .skip(skipped)
        .map(|rate| rate.round() as u64)
        .collect();
    let line = Sparkline::default()
        .block(Block::bordered().title(title))
        .style(Style::new().green())
        .data(&bars);
    frame.render_widget(line, area);
}

fn draw_tables(frame: &mut Frame<'_>, area: Rect, look: &Look) {
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(60), Constraint::Percentage(40)]).areas(area);
    let number = |count: u64| format!("{count:>9}");
    let types = look.breakdown.types.iter().map(|of_type| {
        Row::new([
            cut(&of_type.event_type, 28),
            number(of_type.pending + of_type.processing),
            number(of_type.failed),
            number(of_type.dead),
        ])
    });
    let widths = [
        Constraint::Min(12),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let part = match look.breakdown.is_complete {
        true => "",
        false => ", of the oldest events",
    };
    let types = Table::new(types, widths)
        .header(Row::new(["type", "  waiting", "   failed", "     dead"]).bold())
        .block(Block::bordered().title(format!(" types{part} ")));
    frame.render_widget(types, left);
    let users = look.breakdown.users.iter().map(|user| {
        Row::new([
            cut(&user.user_id, 28),
            number(user.undelivered),
            number(user.dead),
        ])
    });
    let widths = [
        Constraint::Min(12),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let users = Table::new(users, widths)
        .header(Row::new(["user", "  waiting", "     dead"]).bold())
        .block(Block::bordered().title(" users "));
    frame.render_widget(users, right);
}
