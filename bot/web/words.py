"""What the page says, in the browser's language."""

from __future__ import annotations

LANGUAGES = ("en", "zh")

WORDS: dict[str, tuple[str, str]] = {
    "lang": ("en", "zh-CN"),
    "title": ("All-in-one bot", "全能小助手"),
    "subtitle": ("One small model on this machine, in two roles", "一个小模型，在这台机器上扮演两个角色"),
    "skip": ("Skip to the boxes", "跳到输入框"),
    "checking": ("Checking…", "正在检查…"),
    "ready": ("Ready", "就绪"),
    "loading": ("The model is loading…", "模型正在加载…"),
    "not_ready": ("Not ready: {parts}", "未就绪：{parts}"),
    "part_model": ("model", "模型"),
    "part_slack": ("Slack", "Slack"),
    "part_storage": ("database", "数据库"),
    "offline": ("The server does not answer", "服务器没有响应"),
    "emotion_title": ("Emotion", "情感判断"),
    "emotion_lead": ("Does a text sound positive or negative?", "这段话是正面还是负面？"),
    "emotion_label": ("Text to judge", "要判断的文本"),
    "emotion_place": ("Write or paste a text…", "写一段话，或粘贴进来……"),
    "emotion_send": ("Judge", "判断"),
    "tag_note": ("{tag} is added for you", "自动加上 {tag}"),
    "try": ("Try one:", "试试："),
    "example_1": ("It finally works, what a great day!", "今天的实验终于成功了，太棒了！"),
    "example_2": (
        "My parcel is lost again and support hung up on me.",
        "快递又丢了，客服还挂我电话",
    ),
    "ask_1": ("How do I boil an egg?", "怎么煮鸡蛋？"),
    "ask_2": ("Suggest three names for a grey cat.", "给一只灰色的猫起三个名字。"),
    "results": ("Judgements", "判断结果"),
    "confidence": ("Confidence {percent}%", "置信度 {percent}%"),
    "why": ("Why?", "为什么？"),
    "finer": ("Which feeling?", "哪种情绪？"),
    "why_wait": ("Looking for the reasons…", "正在查找依据……"),
    "no_evidence": ("No single word decided.", "没有哪个词单独起决定作用。"),
    "judging": ("Judging…", "判断中……"),
    "chat_title": ("Chat", "聊天"),
    "chat_lead": ("It remembers this conversation.", "它记得这次对话的内容。"),
    "chat_label": ("Your message", "你的消息"),
    "chat_place": ("Ask something…", "问点什么……"),
    "chat_send": ("Send", "发送"),
    "chat_stop": ("Stop", "停止"),
    "chat_new": ("New conversation", "新对话"),
    "chat_log": ("Conversation", "对话"),
    "you": ("You", "你"),
    "bot": ("Bot", "助手"),
    "thinking": ("Thinking…", "思考中……"),
    "stopped": ("Stopped.", "已停止。"),
    "nothing": ("The model had nothing to say. Ask in other words.", "模型没有回答，换个说法试试。"),
    "keys_note": (
        "Enter sends, Shift+Enter begins a new line, Escape stops an answer",
        "回车发送，Shift+回车换行，Esc 停止回答",
    ),
    "failed": ("That did not work: {message}", "没有成功：{message}"),
    "failed_busy": (
        "Many people are asking right now. Try again in a moment.",
        "现在提问的人很多，请稍后再试。",
    ),
    "failed_rate_limited": (
        "That was a lot of requests in a short time. Wait a moment.",
        "短时间内请求太多，请稍等片刻。",
    ),
    "failed_loading": (
        "The model is still loading. Try again in a few seconds.",
        "模型还在加载，请过几秒再试。",
    ),
    "failed_engine_failed": (
        "The model could not answer this. Try again.",
        "模型没能回答，请再试一次。",
    ),
    "failed_storage": (
        "The database cannot be used right now. Try again in a moment.",
        "数据库暂时无法使用，请稍后再试。",
    ),
    "failed_too_long": ("This text is too long. Please shorten it.", "文本太长了，请缩短后再试。"),
    "lost": ("The connection to the server was lost. Try again.", "与服务器的连接中断了，请重试。"),
    "token_title": ("Access token", "访问令牌"),
    "token_lead": (
        "This bot asks for its API_TOKEN. It is kept until you close this tab.",
        "此机器人需要 API_TOKEN。令牌只保存到关闭此标签页为止。",
    ),
    "token_wrong": ("That is not the token.", "令牌不对。"),
    "token_use": ("Use it", "使用"),
    "cancel": ("Cancel", "取消"),
    "caution": (
        "A small model, and it can be wrong. Texts stay on this machine unless it is set up otherwise.",
        "这是一个小模型，可能出错。除非另行配置，文本不会离开这台机器。",
    ),
    "no_script": ("This page needs JavaScript.", "此页面需要 JavaScript。"),
}


def words(language: str) -> dict[str, str]:
    """Every string of the page in `language`, one of LANGUAGES."""
    at = LANGUAGES.index(language)
    return {name: texts[at] for name, texts in WORDS.items()}


def language_of(accepted: str) -> str:
    """The language that an Accept-Language header likes best, English when it names neither."""
    best, weight = "en", 0.0
    for entry in accepted.split(","):
        name, _, quality = entry.strip().partition(";q=")
        language = name.split("-")[0].lower()
        try:
            given = float(quality) if quality else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and given > weight:
            best, weight = language, given
    return best
