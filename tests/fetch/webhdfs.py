"""A name node on standby, one that is active, and a data node, as WebHDFS has them."""

import http.server
import json
import os
import sys
import threading
import urllib.parse

standby, active, data = (int(port) for port in sys.argv[1:4])
files = sys.argv[4]
LARGE, broken = 5_000_000, set()


class Node(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def refuse(self, status, exception, message):
        java = "org.apache.hadoop." + exception
        self.say(status, {"RemoteException": {"exception": exception, "javaClassName": java, "message": message}})

    def say(self, status, what):
        text = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        path = urllib.parse.unquote(url.path)
        operation, offset = query["op"][0], int(query.get("offset", ["0"])[0])
        assert path.startswith("/webhdfs/v1/") and operation in ("OPEN", "GETFILESTATUS"), self.path
        file = os.path.join(files, path[len("/webhdfs/v1/") :])
        port = self.server.server_address[1]
        if port == standby:
            message = "Operation category READ is not supported in state standby."
            self.refuse(403, "StandbyException", message)
        elif not os.path.exists(file):
            self.refuse(404, "FileNotFoundException", "File does not exist: " + path)
        elif operation == "GETFILESTATUS":
            known = os.stat(file)
            told = {"length": known.st_size, "modificationTime": known.st_mtime_ns // 10**6, "type": "FILE"}
            self.say(200, {"FileStatus": told})
        elif port == active:
            self.send_response(307)
            self.send_header("Location", f"http://localhost:{data}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            with open(file, "rb") as content:
                content.seek(offset)
                content = content.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            # The first time it breaks off in the midst of a large file.
            breaks_off = offset == 0 and len(content) > LARGE and file not in broken
            self.wfile.write(content[:LARGE] if breaks_off else content)
            if breaks_off:
                broken.add(file)
                self.close_connection = True


for port in (standby, active, data):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Node)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
