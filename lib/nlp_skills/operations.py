"""OPERATIONS: everything that can be done, once.

    name in Python    validate_data(task: Path, …) -> ValidationReport
    on the CLI        nlp-skills validate-data TASK
    as an MCP tool    mcp__plugin_nlp-skills_lib__validate_data

A shell (cli.py, mcp_server.py) is a loop over this list. Nothing is imported until an operation
is used. Below this module nothing prints, exits or reads arguments.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from nlp_skills.errors import NotValid, did_you_mean

if TYPE_CHECKING:
    from nlp_skills.records import Progress


@dataclass(frozen=True)
class Operation:
    """One thing that can be done."""

    name: str
    module: str
    summary: str
    """One line, in the words of the people who look for it: shown by --help, in the docs, and to assistants."""
    words: str = ""
    """Other words that people use for it; tool search is lexical."""
    tool: bool = True
    """Whether an assistant needs it; otherwise it is a command for people only."""
    heavy: bool = False
    """Loads torch: the MCP server runs it in a process of its own."""
    step: bool = False
    """A step on the way from data to a result: the command line says which comes next."""
    alias: str | None = None
    """A second, shorter command name."""
    stopped: str = (
        "What was finished is kept. Go on with the same command (after start: nlp-skills run TASK)."
    )
    """What is true for whoever interrupts it, and the next step."""

    @property
    def command(self) -> str:
        """The CLI's spelling."""
        return self.name.replace("_", "-")

    @property
    def function(self) -> Callable[..., Any]:
        """The operation itself; imports its module."""
        return getattr(import_module(f"nlp_skills.{self.module}"), self.name)

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """What a caller gives, with real types: `task` is a name, `home` and `progress` are the shell's."""
        hints = get_type_hints(self.function)
        found = []
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.name in GIVEN_BY_THE_SHELL:
                continue
            kind = hints[parameter.name]
            is_task = parameter.name == "task" and kind is Path
            found.append(parameter.replace(annotation=str if is_task else kind))
        return found

    def meaning(self, parameter: str) -> str:
        """What one of its parameters means, for the person or the assistant who fills it in."""
        return PARAMETERS.get(f"{self.name} {parameter}") or PARAMETERS[parameter]

    def settings_example(self, arguments: dict[str, Any]) -> str:
        """`name=value` as its settings are written; where its module knows several types, of the one that is asked for."""
        examples = getattr(import_module(f"nlp_skills.{self.module}"), "SETTINGS_EXAMPLES", {})
        return examples.get(arguments.get("type"), "lora_dropout=0.05")

    def call(
        self, home: Path, arguments: dict[str, Any], progress: Progress, tell: Callable[[str], None]
    ) -> Any:
        """Run it: resolve the task's name below `home`, and pass what the function takes."""
        from nlp_skills.task.task import find_task

        shell = {"home": home, "progress": progress, "tell": tell}
        takes = get_type_hints(self.function)
        given = {**arguments, **{name: value for name, value in shell.items() if name in takes}}
        if takes.get("task") is Path:
            given["task"] = find_task(home, given["task"])
        return self.function(**given)


GIVEN_BY_THE_SHELL = ("home", "progress", "tell")


WHOLE = "The old data are in place (or, at the very last moment, the new ones, whole). Run the same command again."
"""After an interruption of what replaces the data."""

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "quickstart",
        "pipeline",
        "Train, evaluate and compare two versions of a small model on sample data: the whole way, with no question asked.",
        tool=False,
        heavy=True,
    ),
    Operation(
        "start",
        "pipeline",
        "Make a task from your own file, then validate, train, evaluate and report.",
        tool=False,
        heavy=True,
    ),
    Operation(
        "run",
        "pipeline",
        "Take an existing task the whole way: data, training, evaluation, report.",
        tool=False,
        heavy=True,
    ),
    Operation("examples", "pipeline", "Show commands to copy.", tool=False),
    Operation(
        "create_task",
        "task.task",
        "Create a task: a folder with one goal, its metric and target, scripts and versions.",
        words="new project, fine-tune a model, train a model, 新任務, 微調, 新しいタスク",
        step=True,
    ),
    Operation(
        "list_tasks",
        "task.index",
        "List all tasks with their versions, best result and status.",
        words="overview, which tasks, status of all projects, 所有任務, タスク一覧",
        alias="list",
    ),
    Operation(
        "show_task",
        "training.overview",
        "Show one task: goal, data, versions with results, and the next step.",
        words="where are we, progress, resume, 進度, 状況",
    ),
    Operation(
        "add_source",
        "data.sourcing",
        "Add a source of rows to a task: a file or a pattern of files, a database, an API, web pages, a model that writes rows, a Hub dataset.",
        words="import data, load dataset, my data is in a file, 資料來源, データ追加",
        step=True,
        stopped="Nothing was added.",
    ),
    Operation(
        "preview_source",
        "data.sourcing",
        "Show the first rows of a source and the training example that is made of them.",
        words="columns, format, ShareGPT, Alpaca, ChatML, what does my data look like, 欄位",
        stopped="Nothing was stored.",
    ),
    Operation(
        "regenerate_data",
        "data.regenerate",
        "Read all sources again and make train, valid and test; says what was added, removed and changed.",
        words="refresh data, split data, snapshot, 重新產生資料, データ再生成",
        step=True,
        stopped=f"{WHOLE} Pages that were fetched and rows that were paid for are kept for it.",
    ),
    Operation(
        "convert_data",
        "data.regenerate",
        "Convert and split the rows again without reading the sources, after a changed instruction, label list or split.",
        words="convert format, chat format, resplit, 轉換格式",
        step=True,
        stopped=WHOLE,
        tool=False,
    ),
    Operation(
        "validate_data",
        "data.validation",
        "Check the data: broken rows, duplicates, conflicting labels, leaks between train and test, personal data, cut answers.",
        words="data quality, clean data, why is accuracy low, PII, mojibake, loss is 0, 資料驗證, 資料品質, データ検証",
        heavy=True,
        step=True,
        stopped="The data and the last report are as they were. Run the same command again.",
    ),
    Operation(
        "fix_data",
        "data.fix",
        "Mend what can be mended safely: duplicates, leaks, garbled text, label spellings, personal data; shows it first, applies it on request.",
        words="clean data, remove duplicates, mask PII, deduplicate, fix encoding, 清理資料, データ修正",
        stopped=WHOLE,
    ),
    Operation(
        "preview_tokens",
        "data.token_view",
        "Show what the loss sees of some rows: the chat template's text, trained and untrained tokens, where it ends, what is cut.",
        words="chat template, EOS, BOS, truncation, masked labels, completion only loss, 分詞, トークン",
        heavy=True,
    ),
    Operation(
        "list_snapshots",
        "data.history",
        "List the present data and the earlier data that were kept.",
        tool=False,
    ),
    Operation(
        "restore_data",
        "data.history",
        "Bring earlier data back; the present data are kept in their turn.",
        tool=False,
        step=True,
    ),
    Operation(
        "advise",
        "evaluation.advice.advise",
        "Should this task be fine-tuned at all? Prompt, retrieval (RAG), SFT, preference, RL, or more data first; each point with its evidence.",
        words="is it worth it, RAG or fine-tuning, few-shot, baseline, how much data do I need, 要不要微調, 該用 RAG 嗎, 微調整すべきか, ファインチューニングは必要か",
        heavy=True,
    ),
    Operation(
        "plan_training",
        "training.planning.plan",
        "Propose base model, method and hyperparameters with reasons; predict GPU memory, time and cost, and what hardware would fit.",
        words="VRAM, will it fit, out of memory, OOM, how long, price, batch size, which GPU, QLoRA, 訓練計畫, 顯存, 需要多少記憶體, 學習計画, メモリ, 学習時間",
        heavy=True,
    ),
    Operation(
        "create_version",
        "training.new_version",
        "Make the next version: frozen training settings (LoRA rank, epochs, learning rate) on a snapshot of the data.",
        words="hyperparameters, LoRA, DoRA, config, try other settings, 超參數, 新版本",
        step=True,
    ),
    Operation(
        "check_training",
        "training.preflight.check",
        "Dry run before training: base model, chat template, masks, EOS, memory of one step on the longest batch; nothing is kept.",
        words="preflight, out of memory, OOM, mask ratio, will it fit, 訓練前檢查, 事前チェック",
        heavy=True,
        stopped="Nothing was changed.",
    ),
    Operation(
        "start_training",
        "training.train",
        "Start or resume training a version in the background, here, over SSH or in a cloud; without confirm it only says what it would do.",
        words="fine-tune, train, SFT, LoRA, resume, GPU, 開始訓練, 微調, 学習開始",
        heavy=True,
    ),
    Operation(
        "training_status",
        "training.status",
        "How far a training run is: step, loss, time left, or why it failed.",
        words="is it done, progress, loss, ETA, log, 訓練進度, 学習状況",
    ),
    Operation(
        "training_log",
        "training.train_log",
        "The last lines that a training run wrote, wherever it runs; secrets are hidden.",
        words="train.log, traceback, output, why did it fail, 訓練日誌, 学習ログ",
    ),
    Operation(
        "stop_training",
        "training.train",
        "Stop a training or take it out of the queue; its checkpoints stay.",
        words="cancel, abort, 停止訓練",
    ),
    Operation(
        "list_jobs",
        "training.job_table",
        "All training runs of all tasks: what runs, what waits for a GPU, what ended and how.",
        words="queue, runs, which trainings, jobs, 訓練佇列, ジョブ一覧",
        tool=False,
    ),
    Operation(
        "train_model",
        "training.train",
        "Train a version and wait for it, with a progress bar.",
        tool=False,
        heavy=True,
        step=True,
    ),
    Operation(
        "search_settings",
        "evaluation.search.search",
        "Search for better hyperparameters (Optuna: TPE, ASHA): each trial is a version; without confirm it says what it would cost, or how far it is.",
        words="hyperparameter tuning, sweep, HPO, grid search, best learning rate, 超參數搜尋, ハイパーパラメータ探索",
        stopped="The search and its runs are stopped; their checkpoints stay. Go on with the same command.",
    ),
    Operation(
        "stop_search",
        "evaluation.search.search",
        "Stop a search and its runs; it can go on later.",
        words="cancel sweep, 停止搜尋",
        tool=False,
    ),
    Operation(
        "cross_validate",
        "evaluation.cross_validate",
        "Cross-validation for small sets: train the settings once for each fold, with mean and spread of the held-out loss; never on test rows.",
        words="k-fold, few rows, variance, 交叉驗證, 交差検証",
        tool=False,
        heavy=True,
        stopped="The folds that are trained are kept. Go on with the same command.",
    ),
    Operation(
        "reproduce",
        "training.reproduce",
        "Make a version's data and model again from its records, and say where they differ.",
        words="reproducibility, same seed, byte-identical, 重現, 再現",
        tool=False,
        heavy=True,
        stopped="The checkpoints stay. Go on with the same command.",
    ),
    Operation(
        "evaluate_version",
        "evaluation.evaluate",
        "Test a version, or what was deployed of it, against majority, TF-IDF and the prompted base model, with confidence intervals.",
        words="accuracy, F1, confusion matrix, how good is it, slices, bias, forgetting, 評估, 準確率, 遺忘, 評価",
        heavy=True,
        step=True,
        stopped="What was answered is kept. Go on with the same command.",
    ),
    Operation(
        "compare_versions",
        "evaluation.compare",
        "Is version b better than a, worse, or can we not tell? Paired test, fixed and broken rows.",
        words="v1 vs v2, improvement, significance, regression, 比較版本, バージョン比較",
    ),
    Operation(
        "check_promotion",
        "evaluation.promotion",
        "May this version go to users? Each criterion of task.yaml (metric, slice, latency, memory, forgetting): yes, no or cannot tell.",
        words="release gate, quality gate, acceptance criteria, thresholds, go live, 上線, 門檻, リリース判定",
        tool=False,
    ),
    Operation(
        "plan_test_size",
        "evaluation.test_size",
        "How many test rows tell a wanted difference from chance, and how many users and days an A/B test on live traffic needs.",
        words="sample size, statistical power, A/B test, how much test data, 樣本數, 檢定力, サンプルサイズ",
        tool=False,
    ),
    Operation(
        "judge_version",
        "evaluation.judging",
        "Let a model judge a version's answers, alone or against another version's; says how far the judge can be trusted.",
        words="LLM as a judge, pairwise, win rate, rubric, agreement, kappa, 模型評審, 審査モデル",
        heavy=True,
        stopped="What the judge has said is kept. Go on with the same command.",
        tool=False,
    ),
    Operation(
        "evaluate_tools",
        "evaluation.tool_use.evaluate_tools",
        "How well a model calls tools: on BFCL v4 or on your own rows and tools; tool selection, parameters, irrelevance, latency beside the targets.",
        words="function calling, tool calling, Berkeley leaderboard, BFCL, agent, 工具呼叫, 函式呼叫, ツール呼び出し",
        heavy=True,
        stopped="The answers so far are kept (not those of scenarios of several turns). Go on with the same command.",
    ),
    Operation(
        "measure_context",
        "evaluation.tool_use.context",
        "What tool definitions (an MCP server's, an OpenAPI file's) cost in tokens and in the context window, and which to prune.",
        words="context budget, too many tools, token budget, MCP tools, 工具定義, 上下文, コンテキスト",
        heavy=True,
        stopped="Nothing was changed.",
    ),
    Operation(
        "run_benchmark",
        "evaluation.benchmarks.run_benchmark",
        "Public benchmarks (ARC, MMLU, GSM8K …) or suites of your own, for a version or any model; two models row by row.",
        words="lm-eval, lm-evaluation-harness, leaderboard, MMLU, HellaSwag, perplexity, 基準測試, 跑分, ベンチマーク",
        heavy=True,
        stopped="Nothing was written.",
        tool=False,
    ),
    Operation(
        "check_behaviour",
        "evaluation.behaviour.check_behaviour",
        "Does a version keep its answer under typos, case, punctuation, other names? Invariance, directional and minimum functionality tests (CheckList).",
        words="CheckList, robustness, perturbation, fairness, model quality tests, 行為測試, 穩健性, 振る舞いテスト",
        heavy=True,
        stopped="Nothing was written.",
        tool=False,
    ),
    Operation(
        "diagnose",
        "evaluation.diagnosis.diagnose",
        "Why is the accuracy low, or too good? Ranked causes (data, label noise, leak, template, training, model) with evidence, fix and cost.",
        words="diagnosis, root cause, overfitting, wrong answers, mislabelled, error analysis, 為什麼準確率這麼低, 診斷, 過擬合, なぜ精度が低い, 原因, 過学習",
        heavy=True,
        stopped="Nothing was written.",
    ),
    Operation(
        "measure_learning_curve",
        "evaluation.diagnosis.learning_curve",
        "Would more data help? Train on 25, 50 and 100 % of the rows and look at the curve; without confirm it says what it would cost.",
        words="more rows, enough data, data size, 資料量夠嗎, 學習曲線, データは足りるか, 学習曲線",
        heavy=True,
        stopped="The parts that are trained are kept. Go on with the same command.",
    ),
    Operation(
        "write_report",
        "evaluation.report",
        "Write the report pages: of a version (verdict, baselines, causes, kinds of rows, rows to browse, cost) and of the whole task (all versions, the best, lineage).",
        words="HTML, charts, loss curve, share results, 報告, レポート",
    ),
    Operation(
        "merge_version",
        "deployment.merge",
        "Merge a version's adapter into its base model, and check that the whole model says the same.",
        words="merge LoRA, merge_and_unload, full weights, safetensors, 合併, マージ",
        heavy=True,
        stopped="Nothing was written.",
        tool=False,
    ),
    Operation(
        "export_model",
        "deployment.gguf.export",
        "Write a version as a GGUF file for llama.cpp and Ollama (f16, q8_0, q4_k_m …), and check that it cuts texts into the same tokens.",
        words="GGUF, quantize, quantization, llama.cpp, convert, 量化, 匯出, 量子化",
        heavy=True,
        stopped="Nothing was written.",
        tool=False,
    ),
    Operation(
        "list_artefacts",
        "deployment.artefacts",
        "What was made of a version (adapter, merged model, GGUF files): size, checks, and the test result of each.",
        words="quantizations compared, model files, exports, 模型檔案, モデルファイル",
        tool=False,
    ),
    Operation(
        "ollama_list_models",
        "deployment.ollama.models",
        "List the models that Ollama has, with size, quantization and whether they are loaded.",
        words="ollama list, local models, which models are installed, 本地模型, ローカルモデル",
    ),
    Operation(
        "ollama_generate",
        "deployment.ollama.generating",
        "Ask a model in Ollama: a deployed version (entity-sentiment:v2) or any other one.",
        words="ollama run, try the model, local LLM, prompt, 試用模型, 試す",
    ),
    Operation(
        "ollama_code",
        "deployment.ollama.coding",
        "Let a coding model in Ollama write code from an instruction; the code alone comes back, nothing is run.",
        words="write a function, code generation, qwen2.5-coder, 寫程式, コード生成",
        stopped="Nothing was written.",
    ),
    Operation(
        "ollama_show",
        "deployment.ollama.models",
        "Show one of Ollama's models: what it can do, template, stop tokens, system prompt, license.",
        tool=False,
    ),
    Operation(
        "ollama_pull",
        "deployment.ollama.pulling",
        "Fetch a model from Ollama's library, or bring it up to date, with progress.",
        tool=False,
        stopped="What was fetched is kept by Ollama. Go on with the same command.",
    ),
    Operation(
        "ollama_create",
        "deployment.ollama.creating",
        "Put a version into Ollama, with a Modelfile made from its own chat template; deploy-version compares it too.",
        tool=False,
        heavy=True,
        stopped="What was sent is kept by Ollama. Go on with the same command.",
    ),
    Operation(
        "ollama_copy",
        "deployment.ollama.models",
        "Give one of Ollama's models a second name.",
        tool=False,
    ),
    Operation(
        "ollama_remove",
        "deployment.ollama.models",
        "Remove a model from Ollama; without confirm it only says what would go.",
        tool=False,
    ),
    Operation(
        "ollama_status",
        "deployment.ollama.status",
        "What Ollama has loaded, on GPU or processor, and the memory that is left.",
        tool=False,
    ),
    Operation(
        "recommend_models",
        "deployment.ollama.recommended",
        "Recommend coding models for the memory at hand: coordinator, worker and fallback, with size and license.",
        tool=False,
    ),
    Operation(
        "deploy_version",
        "deployment.deploy",
        "Deploy a version to Ollama, a GGUF file, a folder or the Hub, if it answers there as it was trained to; without confirm it says what it would do.",
        words="deployment, serve, release, Ollama, GGUF, parity, prod, 部署, 上線, デプロイ",
        heavy=True,
        stopped="Nothing was deployed; what was merged, exported and answered is kept. Go on with the same command.",
    ),
    Operation(
        "upload_model",
        "deployment.hub",
        "Publish a version on the Hugging Face Hub with a model card, privately unless told otherwise; without confirm it shows the files.",
        words="push to hub, huggingface, share model, model card, license, 上傳, 公開",
        tool=False,
        stopped="What has arrived there stays, and no commit was made. Go on with the same command.",
    ),
    Operation(
        "check_parity",
        "deployment.parity.check",
        "Is what is served what was trained? Prompts token by token, stop token, weights and test rows; a difference is named with its cause.",
        words="chat template mismatch, double BOS, gibberish after export, 亂碼, 文字化け",
        tool=False,
        heavy=True,
        stopped="What was answered is kept. Go on with the same command.",
    ),
    Operation(
        "promote_version",
        "deployment.registry",
        "Make a version dev, staging or prod, if its criteria, its parity and its data allow it; without confirm it says what the gate answers.",
        words="model registry, alias, stage, production, release gate, approve, 升級, 正式環境, 昇格, 本番",
    ),
    Operation(
        "roll_back",
        "deployment.registry",
        "Let dev, staging or prod name the version again that it named before.",
        words="rollback, revert, previous version, 回滾, 復原, ロールバック",
        tool=False,
    ),
    Operation(
        "list_aliases",
        "deployment.registry",
        "Which version is dev, staging and prod, since when and why; and what was deployed where.",
        words="model registry, deployments, history",
        tool=False,
    ),
    Operation(
        "serve",
        "deployment.serving.serve",
        "Serve a version at an OpenAI-compatible address: streaming, tools, health, Prometheus metrics, limits, an API key beyond this machine.",
        words="inference server, API, endpoint, vLLM, llama.cpp, chat completions, 推論服務, 推論サーバー",
        tool=False,
        heavy=True,
        stopped="Nothing was answered: the model was still being loaded. Start it again with the same command.",
    ),
    Operation(
        "chat",
        "deployment.serving.chat",
        "Talk with a version in the terminal; answers are streamed.",
        words="try the model, interactive, playground, 試聊, チャット",
        tool=False,
        heavy=True,
        stopped="Nothing was kept of the conversation.",
    ),
    Operation(
        "predict",
        "deployment.serving.predict",
        "Answer every row of a file with a version, in batches, into JSONL or CSV; a run that is cut off goes on where it was.",
        words="batch inference, batch prediction, score a file, label new data, 批次預測, 一括推論",
        tool=False,
        heavy=True,
        stopped="What was answered is kept. Go on with the same command.",
    ),
    Operation(
        "record_lineage",
        "task.version",
        "Bring a version's lineage.yaml up to date with its data, settings, results, environment and cost.",
        words="provenance, reproducibility, which data trained this, 版本血緣",
        tool=False,
    ),
)

PARAMETERS = {
    "task": "the task's name",
    "start task": "what kind of task it is",
    "name": "a name: lower-case letters, digits and hyphens",
    "type": "what kind of task it is",
    "goal": "what the model should do, in one sentence",
    "pain": "what goes wrong today",
    "language": "of the texts: en, zh-Hant, zh-Hans, ja …",
    "labels": "the possible answers; found in the data when left out",
    "input_description": "what the model is given",
    "output_description": "what it has to answer",
    "instruction": "the system prompt; made from goal and labels when left out",
    "base_model": "a Hub id, a folder, a GGUF file, or smollm2-135m-instruct (embedded)",
    "metric": "the number that decides: macro_f1, accuracy, exact_match, token_f1",
    "target": "the value of the metric that is good enough (0 to 1)",
    "latency_ms": "the longest an answer may take",
    "memory_gb": "the memory that there is where it will run",
    "budget_usd": "what it may cost",
    "privacy": "who may not see the data",
    "path": "the file",
    "add_source path": "the file, or a pattern of files in quotes; nothing for other kinds of source",
    "add_source type": "the kind of source: file, database, api, web_scrape, llm_generated or hub",
    "add_source name": "what to call it: its rows go to data/raw/NAME.jsonl",
    "add_source settings": "its other fields in data_source.yaml, as name=value (connection=…, query=…); secrets as ${NAME}",
    "ray": "work on Ray Data (extra ray) instead of this machine's cores",
    "snapshot": "its name in list-snapshots, or the start of its hash",
    "deep": "look at every row; otherwise, beyond 200,000 rows, a sample is looked at for what takes long",
    "tokens": "check the tokens too, which takes the base model's tokenizer",
    "rows": "how many rows",
    "line": "the lines to show instead of a choice",
    "checks": "only the fixes of these checks, by id",
    "apply": "make the mended rows the data; otherwise they are only written to data/fixed/",
    "preview_tokens split": "the rows to show",
    "data": "the file",
    "source": "the source's name in data_source.yaml",
    "format": "of the file, when it is not detected rightly",
    "encoding": "of the file, when it is not detected rightly",
    "sheet": "of a workbook; the first when left out",
    "text": "the column with the text",
    "label": "the column with the label",
    "entity": "the column with the entity",
    "group": "the column whose equal values stay on one side of the split",
    "side": "train, valid or test: where all its rows go, instead of being divided",
    "split": "the rows to test on",
    "copy": "copy the file into the task, which keeps the task self-contained",
    "version": "v1, v2 …, or dev, staging, prod; the newest when left out",
    "parent": "the version to start from; the newest when left out",
    "changes": "what is changed, in words; described from the difference when left out",
    "method": "sft, cpt (plain text), dpo, orpo, kto (preferences) or grpo (rewards)",
    "peft": "lora, qlora (4-bit weights), dora or none (full fine-tuning)",
    "lora_r": "rank of the adapter",
    "lora_alpha": "scale of the adapter, usually twice the rank",
    "epochs": "how often every row is seen",
    "learning_rate": "step size of the optimiser",
    "per_device_train_batch_size": "rows a step on one device",
    "max_length": "tokens a row may have",
    "seed": "equal seeds give equal runs",
    "settings": "other fields of config.yaml, as name=value",
    "hardware": "cpu, minimal (4 to 6 GB), rtx_3060, rtx_4090, a100, h100, h200 or apple; this machine when left out",
    "usd_per_hour": "your own price of an hour of one device",
    "baseline": "ask the base model some validation rows first, which takes a while",
    "plan_training peft": "lora, qlora, dora or none (full fine-tuning); qlora is chosen where nothing else fits",
    "advise rows": "how many validation rows the base model is asked",
    "advise seed": "which rows are asked",
    "confirm": "really do it",
    "check_training target": "where it will be trained: local, or a name in configs/targets.yaml, whose access is asked for",
    "start_training target": "where: local, or the name of a machine or service in configs/targets.yaml",
    "lines": "how many lines",
    "limit": "how many ended runs at most",
    "search_settings settings": "what to try: field={low: …, high: …, log: true} or field={choices: […]}; configs/search.yaml when left out",
    "search_settings metric": "what decides, on the validation rows: eval_loss, or a metric of the task such as macro_f1",
    "search_settings parent": "the version whose other settings are kept; the newest that no search made when left out",
    "cross_validate version": "the version whose settings are trained; the newest when left out",
    "cross_validate seed": "which rows are held out together",
    "folds": "into how many parts the rows of train and valid are divided",
    "metrics": "measure the task's metrics too, not only the loss",
    "reproduce version": "the version to make again; the newest when left out",
    "trials": "how many settings to try",
    "jobs": "how many runs at a time, where there are devices for them",
    "prune": "end a trial early that is behind",
    "wait": "stay until it has ended",
    "a": "the version to compare with; b's parent when left out",
    "b": "the version to judge; the newest when left out",
    "categories": "of BFCL v4: simple_python, multiple, parallel, live_simple, multi_turn_base …, or single_turn, live, multi_turn, all; your own rows when left out",
    "model": "base, v1, a folder, a .gguf file, ollama/NAME or URL#MODEL; the newest trained version when left out",
    "calling": "native (chat template or API) or prompted (listed in the system prompt); native where the model is shown tools that way",
    "tools": "where your tools are described: .mcp.json#SERVER, a URL of an MCP server, an OpenAPI file, a JSON list; those of the rows when left out",
    "evaluate_tools split": "the rows to ask where no categories are given",
    "evaluate_tools limit": "rows of each category at most",
    "evaluate_tools seed": "which rows are drawn",
    "max_new_tokens": "tokens that an answer may have",
    "batch_size": "rows answered together; 1 measures latency",
    "check_behaviour version": "the version to test; the newest when left out",
    "check_behaviour split": "the rows that are changed",
    "check_behaviour limit": "rows at most, drawn by the seed",
    "check_behaviour seed": "which rows are drawn, and how they are changed",
    "suites": "suites of lm-evaluation-harness, or of your own in configs/benchmarks/*.yaml",
    "run_benchmark against": "a model that was measured alike before, to compare with row by row",
    "run_benchmark limit": "rows of each suite at most",
    "few_shot": "examples shown before each row; the suite's own number when left out",
    "plain": "ask plain texts without a chat template, as published figures of base models are measured",
    "download": "fetch the harness and data sets that are not on this machine",
    "run_benchmark seed": "which examples are shown, and what is drawn",
    "measure_context model": "the base model whose tokens are counted; the task's when left out",
    "window": "tokens of its context, where it is served with another than its own",
    "save": "keep the definitions in configs/tools.json",
    "symptom": "what is wrong, in your own words: English, 中文 or 日本語",
    "diagnose version": "the version to explain; the newest when left out",
    "diagnose split": "the predictions to look at",
    "probe": "load the model and ask it rows whose loss the training has measured, which takes a while",
    "measure_learning_curve version": "the version whose settings are trained; the newest when left out",
    "evaluate_version model": "judge this instead of the version's own weights: base, vN, a folder, a .gguf file, ollama/NAME or URL#MODEL",
    "evaluate_version confirm": "ask what costs money too",
    "difference": "the difference in right answers that has to be told from chance: 0.05 is five points",
    "power": "in which share of cases it has to be found",
    "disagreement": "share of rows that one model has right and the other wrong; as measured between versions when left out",
    "success_rate": "of the present system in use: plans an A/B test on live traffic beside it",
    "users_per_day": "new users a day, which says how long the A/B test takes",
    "share": "the part of the users that sees the new model",
    "judge": "who judges: URL#MODEL, ollama/NAME, a .gguf file, a folder, base or a version",
    "against": "another version whose answers are compared with these; each answer by itself when left out",
    "rubric": "what makes an answer a good one, in a sentence or two",
    "judge_version version": "the version to judge; the newest when left out",
    "judge_version confirm": "send it over the network",
    "ollama_generate model": "its name in Ollama, such as entity-sentiment:v2",
    "ollama_code model": "its name in Ollama; the best recommended one that is there when left out",
    "ollama_show model": "its name in Ollama",
    "ollama_pull model": "its name in Ollama's library, such as qwen2.5-coder:7b",
    "ollama_copy model": "the model's name in Ollama",
    "ollama_remove model": "its name in Ollama",
    "ollama_create what": "adapter, merged, or the quantization of a GGUF file: f16, q8_0 …",
    "ollama_create name": "its name in Ollama; TASK:VERSION when left out",
    "ollama_create system": "the system prompt of conversations that bring none",
    "ollama_create replace": "also where a model has that name",
    "quantize": "let Ollama quantize it, from weights in 16 or 32 bits",
    "ollama_copy to": "the second name",
    "replace": "also where another model has that name",
    "prompt": "what it is asked",
    "system": "a system prompt before it",
    "temperature": "0 is greedy; the model's own setting when left out",
    "ollama_generate seed": "equal seeds give equal answers",
    "ollama_code seed": "equal seeds give equal answers",
    "ollama_code instruction": "what the code should do",
    "ollama_code language": "the programming language",
    "recommend_models memory_gb": "memory of the GPU or machine where Ollama runs, in GB; this machine's when left out",
    "merge_version version": "the version to merge; the newest when left out",
    "export_model version": "the version to export; the newest when left out",
    "quantization": "f32, f16, bf16 or q8_0; where llama-quantize is installed also q4_k_m, q5_k_m, q6_k and their kin",
    "deploy_version to": "where: ollama, gguf (a file), folder (safetensors, for vLLM and transformers) or hub",
    "deploy_version name": "its name there: TASK:VERSION in Ollama, OWNER/NAME on the Hub, or a path to copy it to; in the task's models/ when left out",
    "deploy_version quantization": "q8_0, f16, q4_k_m …; merged (safetensors) for the Hub",
    "repo_id": "OWNER/NAME on the Hub",
    "what": "trained, merged, or the quantization of a GGUF file: q8_0, f16 …",
    "public": "let everyone see it",
    "accept_difference": "why it is deployed although something differs; kept with your name",
    "check_parity model": "q8_0, f16, merged …, a .gguf file, a folder, or ollama/NAME",
    "promote_version version": "v1, v2 …, or the alias that names it now (staging)",
    "alias": "dev, staging or prod",
    "why": "in a sentence; it is kept in registry.json",
    "by": "who says so; this machine's user when left out",
    "weights": "trained (what was trained, nothing merged), merged, or a GGUF file: f16, q8_0, q4_k_m …",
    "host": "the address to listen at; any other than 127.0.0.1 asks for a key",
    "port": "0 takes one that is free",
    "backend": "auto, transformers, vllm (where it is installed) or llama.cpp (GGUF files)",
    "streams": "answers at once; the next one is told to come again",
    "api_key": "${NAME} of an environment variable, or none; made and shown once where one is needed and none is given",
    "out": "a file that ends in .jsonl or .csv; FILE.predictions.jsonl when left out",
    "chat system": "another system prompt than that of the training rows",
    "chat temperature": "0 is greedy, as the evaluation asks",
    "chat seed": "equal seeds give equal answers",
    "max_tokens": "tokens that an answer may have",
    "predict max_new_tokens": "tokens that an answer may have; as in the evaluation when left out",
    "predict batch_size": "rows answered together",
    "folder": "the task's folder, or its name below the tasks folder",
    "train_rows": "at most so many rows to train on",
    "valid_rows": "share (below 1) or number of rows for validation",
    "test_rows": "share (below 1) or number of rows for the test",
}
"""What a parameter means, by name; an operation that means something else by it has its own line."""


def find_operation(name: str) -> Operation:
    """The operation of that name (or alias). Raises NotValid with the nearest name."""
    for operation in OPERATIONS:
        if name.replace("-", "_") in (operation.name, operation.alias):
            return operation
    known = [operation.command for operation in OPERATIONS]
    raise NotValid(f"There is no operation {name!r}{did_you_mean(name, known)}. Known: {', '.join(known)}.")


def log_progress(message: str, done: float, total: float | None) -> None:
    """Progress as lines on the error stream: for scripts and logs."""
    place = f"{done:g}/{total:g} " if total else ""
    sys.stderr.write(f"{place}{message}\n")
    sys.stderr.flush()
