//! `serve`: the web console.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outbox_console::{Console, router, router_opening};
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock as _, OutboxRepository};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::args;
use crate::database::{Access, Place};
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::Out;

/// How long requests under way may take to end after a signal.
const PATIENCE: Duration = Duration::from_secs(5);

/// The shortest password for a console that other machines reach.
const SHORTEST: usize = 12;

/// The names of this machine for itself.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

type Store = Arc<dyn OutboxRepository>;

pub(crate) async fn run(args: &args::Serve, place: &Place, out: &mut Out) -> Outcome {
    check(args)?;
    let access = match args.write {
        true => Access::Write,
        false => Access::ReadOnly,
    };
    // A fault of the outbox is told here, and not to the first visitor.
    let store = place.open(access).await?.store();
    let last = Arc::new(Mutex::new(Arc::clone(&store)));
    let served = serve(args, place, store, &last, out).await;
    // Closes the files, so that none is left beside them.
    let store = Arc::clone(&last.lock().unwrap_or_else(PoisonError::into_inner));
    let closed = store.suspend().await;
    served?;
    closed?;
    Ok(Verdict::Fine)
}

async fn serve(
    args: &args::Serve,
    place: &Place,
    store: Store,
    last: &Arc<Mutex<Store>>,
    out: &mut Out,
) -> Result<(), Failure> {
    let ip = match args.public {
        true => Ipv4Addr::UNSPECIFIED,
        false => Ipv4Addr::LOCALHOST,
    };
    let address = SocketAddr::new(IpAddr::V4(ip), args.port);
    let listening = TcpListener::bind(address).await;
    let cannot = |error| Failure::new(format!("cannot listen on {address}: {error}"));
    let listener = listening.map_err(cannot)?;
    let port = listener.local_addr().map_err(cannot)?.port();
    let token = Console::random_token();
    let mut console = match args.write {
        true => router(store).writable(),
        false => reading(place, store, last),
    };
    console = set_up(console, args, place).token(&token);
    let streams = console.streams();
    let service = console.into_router();
    let service = service.into_make_service_with_connect_info::<SocketAddr>();

    let stop = stop()?;
    announce(args, place, port, &token, out)?;
    let mut stopped = stop.clone();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        let _ = stopped.wait_for(|stops| *stops).await;
        streams.end();
    });
    let mut stopping = stop;
    let patience = async {
        let _ = stopping.wait_for(|stops| *stops).await;
        SystemClock.sleep(PATIENCE).await;
    };
    tokio::select! {
        served = serving.into_future() => served.map_err(|error| Failure::new(error.to_string())),
        // A client that keeps a connection open holds nothing up.
        () = patience => Ok(()),
    }
}

/// A console that opens the outbox anew once it cannot be read any more: a file that nobody had
/// open is read without locks, until a program opens it.
fn reading(place: &Place, store: Store, last: &Arc<Mutex<Store>>) -> Console {
    let (place, last) = (place.clone(), Arc::clone(last));
    let first = Arc::new(Mutex::new(Some(store)));
    router_opening(move || {
        let (place, last, first) = (place.clone(), Arc::clone(&last), Arc::clone(&first));
        async move {
            let opened = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            let store = match opened {
                Some(store) => store,
                None => match place.open(Access::ReadOnly).await {
                    Ok(database) => database.store(),
                    Err(Failure::Message(message)) => return Err(message.into()),
                    Err(Failure::ClosedPipe) => return Err("the output is closed".into()),
                },
            };
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&store);
            Ok(store)
        }
    })
}

/// A console that other machines reach needs a password: the token is for the terminal that it is
/// printed on.
fn check(args: &args::Serve) -> Result<(), Failure> {
    let length = args
        .password
        .as_deref()
        .map(|password| password.chars().count());
    match length {
        None if args.public => Err(Failure::new(
            "--public needs a password: set OUTBOX_CONSOLE_PASSWORD",
        )),
        Some(0) => Err(Failure::new("the password is empty")),
        Some(length) if args.public && length < SHORTEST => Err(Failure::new(format!(
            "--public needs a password of at least {SHORTEST} characters"
        ))),
        _ => Ok(()),
    }
}

fn set_up(mut console: Console, args: &args::Serve, place: &Place) -> Console {
    let hosts = args.host.iter().map(String::as_str);
    console = console.hosts(hosts.chain(LOOPBACK)).name(place.name());
    console = match place {
        Place::File(path) => console.of_file(path),
        Place::Server { schema, .. } => console.of_schema(schema),
    };
    if let Some(password) = &args.password {
        console = console.password(password);
    }
    if let Some(prefix) = &args.prefix {
        console = console.prefix(prefix);
    }
    if args.https {
        console = console.https();
    }
    match &args.sensitive.sensitive {
        Some(names) => console.show_payload_except(names.split(',')),
        None => console,
    }
}

/// Prints where the console is, once. By number: another program may listen on the name `localhost`
/// and would get the token.
fn announce(
    args: &args::Serve,
    place: &Place,
    port: u16,
    token: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    let prefix = args.prefix.as_deref().unwrap_or_default();
    let prefix = prefix.trim_end_matches('/');
    let url = format!("http://127.0.0.1:{port}{prefix}/login?token={token}");
    let writes = if args.write { "may write" } else { "read-only" };
    match out.is_json {
        true => out.json(&json!({
            "outbox": place.name(), "url": url, "port": port, "token": token,
            "isWritable": args.write, "isPublic": args.public,
        }))?,
        false => {
            out.line(&url)?;
            let place = place.name();
            out.line(format!(
                "{}, {writes}; Ctrl-C ends it",
                outbox_operate::clean(&place)
            ))?;
        }
    }
    out.flush()
}

/// Becomes true with the first Ctrl-C or SIGTERM.
fn stop() -> Result<watch::Receiver<bool>, Failure> {
    let (sender, receiver) = watch::channel(false);
    let cannot = |error| Failure::new(format!("cannot wait for signals: {error}"));
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            sender.send_replace(true);
        });
    }
    #[cfg(not(unix))]
    {
        let _: fn(std::io::Error) -> Failure = cannot;
        tokio::spawn(async move {
            let _ = tokio::signal::ctrl_c().await;
            sender.send_replace(true);
        });
    }
    Ok(receiver)
}
