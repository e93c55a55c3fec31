# sockstep: what a class types. `make` alone explains itself.

STAGE  ?= 3
LISTEN ?= 127.0.0.1:7000
SERVER ?= 127.0.0.1:7000
HOST   ?=
NAME   ?=
CLIENT ?=
ARGS   ?=
# Not from the environment, where others mean other things by it.
TRACE   = yes

TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN    := $(TARGET)/debug/sockstep
PORT    = $(lastword $(subst :, ,$(LISTEN)))

SERVER_1 = --mode echo
SERVER_udp = --udp
SERVER_2 = --mode relay
SERVER_3 = --mode relay --tls --cert certs/server.pem --key certs/server.key
CLIENT_3 = --tls --ca certs/ca.pem$(if $(CLIENT), --cert certs/$(CLIENT).pem --key certs/$(CLIENT).key)
CLIENT_udp = --udp

# For whom the server's certificate has to be, beside this machine itself: the address it listens on;
# 0.0.0.0 and [::] stand for all that the machine has.
LISTEN_HOST  = $(patsubst [%],%,$(patsubst %:$(PORT),%,$(LISTEN)))
HOSTS        = $(strip $(HOST) $(if $(filter 0.0.0.0 ::,$(LISTEN_HOST)),$(shell hostname -I 2>/dev/null),$(filter-out 127.0.0.1 ::1 localhost,$(LISTEN_HOST))))
SERVER_HOST  = $(patsubst [%],%,$(patsubst %:$(lastword $(subst :, ,$(SERVER))),%,$(SERVER)))

# The daemon's files.
PID_FILE = .run/sockstep.pid
LOG_FILE = .run/sockstep.log

RUN_SERVER = $(BIN) server $(SERVER_$(STAGE)) --listen $(LISTEN)$(if $(ARGS), $(ARGS))
START      = $(RUN_SERVER) --daemon --pid-file $(PID_FILE) --log-file $(LOG_FILE)
RUN_CLIENT = $(BIN) client --connect $(SERVER)$(if $(CLIENT_$(STAGE)), $(CLIENT_$(STAGE)))$(if $(NAME), --name '$(NAME)')$(if $(ARGS), $(ARGS))

# command:package, as Debian and Ubuntu call them
BUILD_TOOLS = cc:gcc pkg-config:pkg-config
CERT_TOOLS  = openssl:openssl
LOOK_TOOLS  = strace:strace ss:iproute2
TEST_TOOLS  = $(LOOK_TOOLS) ncat:ncat socat:socat ps:procps tcpdump:tcpdump python3:python3 sslscan:sslscan nmap:nmap
# A page is tested in a browser, and with Hangul in it. Debian has one as a package, Ubuntu has not.
BROWSER     = { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || { . /etc/os-release; [ "$$ID" != debian ]; } || echo chromium fonts-nanum

.DEFAULT_GOAL := help
.PHONY: help demo timeline run-server run-client step-server step-client check start stop status reload logs certs ss strace-server test soak bench bench-hold bench-readme no-trace lint doc figures clean setup build stage ca build-tools cert-tools look-tools test-tools

help:
	@echo '사용법: make 타깃 [변수=값 ...]'
	@echo
	@echo '  demo           서버와 두 클라이언트의 대화를 호출마다 보여 줍니다. 아무것도 입력하지 않아도 됩니다'
	@echo '  timeline       같은 대화를 그림으로 그립니다: SVG, HTML, 글. tcpdump로 캡처할 수 있으면 패킷도 그립니다'
	@echo '  run-server     서버를 실행하고 소켓 호출을 보여 줍니다. STAGE=1 에코, 2 중계, 3 TLS 중계 (기본값), udp UDP 에코'
	@echo '  run-client     클라이언트를 실행하고 소켓 호출을 보여 줍니다. STAGE는 서버와 같아야 합니다'
	@echo '  step-server    서버를 실행하되 호출마다 멈추어 설명하고, 키를 누르면 실행합니다'
	@echo '  step-client    클라이언트를 같은 방식으로 실행합니다'
	@echo '  check          SERVER의 서버를 검사합니다. 어떤 언어로 만든 서버든 STAGE의 할 일을 하는지 봅니다'
	@echo '  start          서버를 데몬으로 시작합니다. STAGE와 LISTEN은 run-server와 같습니다'
	@echo '  stop           데몬을 멈춥니다'
	@echo '  status         데몬의 상태를 봅니다'
	@echo '  reload         데몬이 인증서와 로그 파일을 다시 열게 합니다'
	@echo '  logs           데몬의 로그를 계속 보여 줍니다. 끝내려면 Ctrl-C를 누릅니다'
	@echo '  certs          수업용 CA와 인증서를 만듭니다. HOST=192.168.0.10처럼 주소나 이름을 더할 수 있습니다'
	@echo '                 CLIENT=철수처럼 학생의 이름을 적으면 그 학생의 인증서도 만듭니다'
	@echo '  ss             리스너 소켓과 연결된 소켓을 봅니다. STAGE=udp이면 UDP 소켓을 봅니다'
	@echo '  strace-server  서버의 시스템 호출을 strace로 봅니다'
	@echo '  test           필요한 도구를 설치하고 모든 테스트를 실행합니다'
	@echo '  soak           온갖 클라이언트를 MINUTES분(기본값 1) 동안 보내며 사라진 줄이나 새는 자원이 없는지 봅니다. 예: MINUTES=10'
	@echo '  bench          다른 서버들과 성능을 비교합니다. ARGS="--help"이면 쓸 수 있는 옵션을 보여 줍니다'
	@echo '  bench-hold     클라이언트 N명이 동시에 접속해 있을 때의 메모리와 초당 연결 수를 잽니다. 예: N=10000'
	@echo '  bench-readme   성능을 비교한 결과를 README.md의 표와 그림으로 적습니다'
	@echo '  lint           서식과 clippy를 검사합니다'
	@echo '  doc            소스 코드 문서를 만듭니다 (영어)'
	@echo '  figures        notes의 그림 가운데 실행을 기록한 타임라인을 다시 그립니다'
	@echo '  setup          빌드와 테스트에 필요한 도구를 모두 설치합니다'
	@echo '  clean          빌드 결과물을 지웁니다 (인증서는 그대로 둡니다)'
	@echo
	@echo '변수: STAGE=$(STAGE) LISTEN=$(LISTEN) SERVER=$(SERVER) HOST=$(HOST) NAME=$(NAME) CLIENT=$(CLIENT) ARGS=$(ARGS) TRACE=$(TRACE)'
	@echo '예:   make demo STAGE=1           make timeline STAGE=1'
	@echo '      make run-server STAGE=1     다른 터미널에서   make run-client STAGE=1'
	@echo '      make run-client NAME=철수   make run-server ARGS="--max-clients 10"'
	@echo '      make certs CLIENT=철수      make run-server ARGS="--client-ca certs/ca.pem"'
	@echo '      make check SERVER=127.0.0.1:8000 STAGE=1'
	@echo '      make run-client TRACE=no    호출을 보여 주지 않습니다. TRACE=파일이면 그 파일에 기록합니다'

# In class every call is shown, or written to the file that TRACE names. A student who steps through a handshake may take
# longer than 10 s. What ARGS says itself comes first.
unless_said = $(if $(findstring $(firstword $(1)),$(ARGS)),, $(1))
SHOW_CALLS  = $(if $(filter no,$(TRACE)),,$(if $(findstring --trace,$(ARGS)),, --trace$(if $(filter yes,$(TRACE)),,=$(TRACE))))
PATIENCE    = $(if $(filter 3,$(STAGE)),$(call unless_said,--handshake-timeout 600))

# Its own conversation, on a port that is free: LISTEN and ARGS are for the others.
DEMO = $(BIN) demo --stage $(STAGE)$(if $(DEMO_$(STAGE)), $(DEMO_$(STAGE)))
DEMO_3 = --cert certs/server.pem --key certs/server.key --ca certs/ca.pem

demo: stage build $(if $(filter 3,$(STAGE)),certs)
	$(DEMO)

# One run in three forms. The form for a terminal is shown there.
RUN     = .run/timeline/stage-$(STAGE)
PICTURE = $(BIN) timeline $(RUN)/run.trace $$([ ! -s $(RUN)/run.pcap ] || echo --pcap $(RUN)/run.pcap)

timeline: stage build $(if $(filter 3,$(STAGE)),certs)
	@rm -rf $(RUN)
	$(DEMO) --fast --keep $(RUN) --capture >/dev/null
	@for form in svg html txt; do COLUMNS=160 $(PICTURE) -o $(RUN).$$form || exit; done
	@$(PICTURE)
	@echo
	@echo '그림:         $(RUN).svg (슬라이드나 교재에 넣을 그림)'
	@echo '페이지:       $(RUN).html (브라우저에서 열고 ←, → 키로 한 단계씩 넘깁니다)'
	@echo '글:           $(RUN).txt'
	@echo '기록과 패킷:  $(RUN)/'

run-server: stage build $(if $(filter 3,$(STAGE)),certs)
	$(RUN_SERVER)$(SHOW_CALLS)$(PATIENCE)

run-client: stage $(if $(filter 3,$(STAGE)),ca) build
	$(RUN_CLIENT)$(SHOW_CALLS)

step-server: stage build $(if $(filter 3,$(STAGE)),certs)
	$(RUN_SERVER) --step

step-client: stage $(if $(filter 3,$(STAGE)),ca) build
	$(RUN_CLIENT) --step

# Another CA may be named in ARGS.
CHECK       = $(BIN) check $(SERVER) $(CHECK_$(STAGE))$(if $(ARGS), $(ARGS))
CHECK_1     = --stage 1
CHECK_2     = --stage 2
CHECK_3     = --stage 3$(call unless_said,--ca certs/ca.pem)
CHECK_udp   = --udp

check: stage build
	$(CHECK)

start: stage build $(if $(filter 3,$(STAGE)),certs)
	@mkdir -p $(dir $(PID_FILE) $(LOG_FILE))
	$(START)

# Not built anew: a daemon must be stoppable while the source does not compile.
stop status reload:
	@[ -x $(BIN) ] || $(MAKE) --no-print-directory build
	$(BIN) $@ --pid-file $(PID_FILE)

logs:
	tail -n 50 -F $(LOG_FILE)

certs: cert-tools
	certs/make-certs.sh $(foreach name,$(CLIENT),-c '$(name)') $(foreach host,$(HOSTS),'$(host)')

ss: stage look-tools
ifeq ($(STAGE),udp)
	@echo 'UDP 소켓: Recv-Q는 아직 읽지 않은 데이터그램이 차지하는 바이트 수입니다. 연결이 없으므로 상대 주소도 없습니다.'
	ss -ulnp 'sport = :$(PORT)'
else
	@echo '리스너 소켓: Recv-Q는 accept()를 기다리는 연결의 수, Send-Q는 대기열의 한도입니다.'
	ss -tlnp 'sport = :$(PORT)'
	@echo '연결된 소켓: Recv-Q는 아직 읽지 않은 바이트 수, Send-Q는 아직 ACK를 받지 못한 바이트 수입니다. 2·3단계에서 자식의 이름은 root에게만 보입니다.'
	ss -tnp 'sport = :$(PORT)'
endif

strace-server: stage build look-tools $(if $(filter 3,$(STAGE)),certs)
	@echo 'strace로 서버를 실행합니다.'
	@echo '이미 실행 중인 서버를 보려면: sudo strace -f -e trace=%net,%process,close -p $$(pgrep -o -x sockstep)'
	strace -f -e trace=%net,%process,close $(RUN_SERVER)

# Without SSLKEYLOGFILE: it is meant for the server, and cargo would make the file, for all to read.
build: build-tools
	env -u SSLKEYLOGFILE cargo build --locked

# Two tests at a time for each CPU: most of them wait for another process, or for what must not come.
test: build-tools cert-tools test-tools
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((2 * $$(nproc)))} cargo test --locked

# Ctrl-C is for the soak, which then lets its clients leave and says what it has seen: cargo must not go before that.
SOAK = cargo test --locked --release --test soak

soak: build-tools
	$(SOAK) --no-run
	trap '' INT; $(SOAK) -- run --minutes $(or $(MINUTES),1)$(if $(SEED), --seed $(SEED))$(if $(ARGS), $(ARGS))

# Against the servers that are there; what is missing is named, not installed.
BENCH    = .run/bench
NO_TRACE = $(TARGET)/no-trace
MEASURE  = cargo test --locked --release --test bench -- measure --json $(BENCH)/bench.json --svg $(BENCH)/bench.svg --no-trace $(NO_TRACE)/release/sockstep

bench: build-tools cert-tools no-trace
	@mkdir -p $(BENCH)
	$(MEASURE)$(if $(ARGS), $(ARGS))

# The numbers in README.md: for who keeps them, on a machine that does nothing else.
bench-readme: build-tools cert-tools no-trace
	@mkdir -p $(BENCH)
	$(MEASURE) --readme README.md --held $(or $(N),1000)$(if $(ARGS), $(ARGS))

bench-hold: build-tools cert-tools
	@mkdir -p $(BENCH)
	cargo test --locked --release --test bench -- hold --json $(BENCH)/hold.json --clients $(or $(N),1000)$(if $(ARGS), $(ARGS))

# What the trace costs when nobody looks is the difference to this one.
no-trace: build-tools
	RUSTFLAGS='$(RUSTFLAGS) --cfg sockstep_no_trace' cargo build --locked --release --bin sockstep --target-dir $(NO_TRACE)

lint: build-tools
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

doc: build-tools
	cargo doc --locked --no-deps --document-private-items

# Kept in the repository: a chapter is read where nothing has been built.
figures: build cert-tools
	notes/figures/make-timelines.sh $(BIN)

clean:
	cargo clean

setup: build-tools cert-tools test-tools
	@echo '필요한 도구가 모두 준비되었습니다.'

stage:
	@case '$(STAGE)' in 1|2|3|udp) ;; *) echo "STAGE는 1, 2, 3, udp 가운데 하나여야 합니다: '$(STAGE)'" >&2; exit 2 ;; esac

# A client that is to check the server's certificate needs that of the server's CA, not one of its own.
ca:
	@[ -r certs/ca.pem ] || { echo 'certs/ca.pem이 없습니다. $(strip $(GET_CA))' >&2; exit 1; }
GET_CA = $(if $(filter 127.% ::1 localhost,$(SERVER_HOST)),먼저 다른 터미널에서 make run-server를 실행하십시오.,\
	서버 컴퓨터의 sockstep 디렉터리에 있는 certs/ca.pem을 가져오십시오. 예: scp "사용자@$(if $(findstring :,$(SERVER_HOST)),[$(SERVER_HOST)],$(SERVER_HOST)):sockstep/certs/ca.pem" certs/)

# What is missing is installed with apt-get after saying so; without apt-get it is named.
# $(1): command:package pairs. The last command looks for OpenSSL's headers.
build-tools:
	@command -v cargo >/dev/null || { echo 'Rust(cargo)가 없습니다. https://rustup.rs 의 안내대로 설치하십시오.' >&2; exit 1; }
	@$(call ensure,$(BUILD_TOOLS),pkg-config --exists openssl 2>/dev/null || echo libssl-dev)

cert-tools:
	@$(call ensure,$(CERT_TOOLS))

look-tools:
	@$(call ensure,$(LOOK_TOOLS))

test-tools:
	@$(call ensure,$(TEST_TOOLS),$(BROWSER))

define ensure
missing=$$(for pair in $(1); do command -v "$${pair%%:*}" >/dev/null 2>&1 || echo "$${pair##*:}"; done; $(2)); \
[ -n "$$missing" ] || exit 0; \
missing=$$(echo $$missing | sed 's/^gcc\b/gcc libc6-dev/'); \
if ! command -v apt-get >/dev/null 2>&1; then \
	echo "apt-get이 없어 필요한 패키지를 설치할 수 없습니다. 직접 설치하십시오: $$missing" >&2; exit 1; \
fi; \
if [ "$$(id -u)" = 0 ]; then as_root=; elif command -v sudo >/dev/null 2>&1; then as_root=sudo; else \
	echo "필요한 패키지를 설치할 권한이 없습니다 (root가 아니고 sudo도 없습니다). 관리자에게 요청하십시오: apt-get install $$missing" >&2; exit 1; \
fi; \
echo "필요한 패키지를 설치합니다: $$missing"; \
set -x; \
$$as_root apt-get update -q && $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing
endef
