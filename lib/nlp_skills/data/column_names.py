"""What columns are called in the data sets that people have: for each part its names, the most telling first.

Compared in lower case with blanks and hyphens as underscores.
"""

from __future__ import annotations


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


TEXT = _names(
    "text sentence review content body document article passage message tweet comment post utterance query "
    "question sms description headline title input prompt instruction v2 文本 内容 內容 正文 评论 評論 句子 标题 "
    "標題 テキスト 本文 レビュー"
)
LABEL = _names(
    "label labels sentiment intent category class polarity emotion topic stance label_text tag y target v1 gold "
    "标签 標籤 类别 類別 分类 分類 情感 情緒 情绪 意图 意圖 ラベル カテゴリ 感情"
)
ENTITY = _names("entity entity_name aspect target company ticker subject 实体 實體 对象 對象 エンティティ")
GROUP = _names(
    "group group_id headline_id document_id doc_id document doc thread_id thread conversation_id "
    "conversation dialogue_id dialog_id session_id article_id text_id ticket_id user_id author_id"
)
ID = _names("id uid uuid guid _id row_id example_id sample_id task_id 编号 編號")
PROMPT = _names("prompt question instruction query input problem source 问题 問題 質問")
COMPLETION = _names(
    "completion response answer answers output canonical_solution solution target summary highlights "
    "translation sql code entities json reply chosen_response 答案 回答 摘要 回复 回覆"
)
CONTEXT = _names("context passage document background article table schema input text")
TURNS = _names("messages conversations conversation dialogue dialog chat turns items")
CHOSEN = _names("chosen chosen_messages chosen_response preferred")
REJECTED = _names("rejected rejected_messages rejected_response dispreferred")
VERDICT = _names("label kto_tag desirable thumbs_up")
