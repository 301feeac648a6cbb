//! nginx in front of the scripted model, where it is installed: what passing bytes on costs that are not
//! even looked at.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process::{Server, free_address};

/// Starts nginx in a folder of its own, as one process, with buffering off and connections to the model kept.
pub async fn start(nginx: &Path, scratch: &Path, model: SocketAddr) -> Result<Server> {
    let folder = scratch.join("nginx");
    fs::create_dir_all(&folder)?;
    let address = free_address()?;
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration(&folder, address, model))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(&folder).arg("-c").arg(&file).arg("-e").arg(folder.join("error.log"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut server = Server::start(&mut command, address)?;
    server.connect().await.with_context(|| format!("nginx: {}", folder.join("error.log").display()))?;
    Ok(server)
}

fn configuration(folder: &Path, address: SocketAddr, model: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream model {{ server {model}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
            proxy_buffering off;
        }}
    }}
}}
"
    )
}
