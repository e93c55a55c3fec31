//! sockstep: the life of a socket, one call at a time, in a server that one would leave running.
//!
//! The modules stand in the order of the story. Each may use only what stands above it.

// What can go wrong, and how it is said.
pub mod error;
// Text from strangers, made harmless.
pub mod text;
// Values for other programs, JavaScript among them.
pub mod json;
// The class looks at every call through this gate.
pub mod lesson;
// The calls: socket, bind, listen, accept, connect, recv, send, shutdown, close.
// [00.calls]
pub mod lifecycle;
// The log: on standard error, in a file, at syslog.
pub mod logging;
// Which addresses may come in.
pub mod network;
// How much the system lets us have, and we others.
pub mod limits;
// The command line.
pub mod cli;
// Who is told when to stop.
pub mod signal;
// A child can do next to nothing.
pub mod sandbox;
// A process without a terminal, and how it is looked at from outside.
pub mod daemon;
// How much each connection has moved: memory that all processes share.
pub mod traffic;
// Certificates, keys, the handshake.
pub mod tls;
// Plain or TLS, read and written alike.
pub mod transport;
// Child and parent: packets, the log, the names, the hub.
pub mod relay;
// The parent, and its children one a connection.
pub mod server;
// The other side of the conversation.
pub mod client;
// Is that server, whoever wrote it, what the course asks for?
pub mod check;
// A recorded run as one picture: for a terminal, for slides, for a browser.
pub mod timeline;
// A conversation that plays itself, with every call of it.
pub mod demo;
