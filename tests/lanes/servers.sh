# Sourced by lanes that have servers of others.

# One that nobody listens at.
port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

until_answers() {
    local port=$1
    for _ in $(seq 300); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
        sleep 0.1
    done
    echo "nobody listens at $port"
    return 1
}

# In $work: an authority, and what it says of localhost.
certificates() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ours -keyout "$work/ca.key" -out "$work/ca.pem"
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$work/key.pem" -out "$work/csr.pem"
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >"$work/names"
    openssl x509 -req -in "$work/csr.pem" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 2 \
        -extfile "$work/names" -out "$work/cert.pem"
    # Nobody's.
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout "$work/other.key" -out "$work/other.pem"
    # One that was good once, and one that is another host's.
    printf '[ca]\ndefault_ca=ours\n[ours]\ndatabase=%s\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n' \
        "$work/index" "$work" >"$work/ca.conf"
    : >"$work/index"
    openssl ca -batch -config "$work/ca.conf" -in "$work/csr.pem" -cert "$work/ca.pem" -keyfile "$work/ca.key" \
        -startdate 20200101000000Z -enddate 20200102000000Z -extfile "$work/names" -notext -out "$work/old.pem"
    printf 'subjectAltName=DNS:elsewhere.example\nbasicConstraints=CA:FALSE\n' >"$work/elsewhere"
    openssl x509 -req -in "$work/csr.pem" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 2 \
        -extfile "$work/elsewhere" -out "$work/elsewhere.pem"
}
