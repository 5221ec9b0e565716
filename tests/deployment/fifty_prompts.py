"""Fifty short questions, written for these tests: enough for a rounding to change some answer."""

from nlp_skills.data.example import Example, Message, Meta

COUNTRIES = "France Japan Taiwan Kenya Peru Norway Egypt Canada India Brazil".split()
WORDS = "water fire music bread winter friend school garden river stone".split()
NUMBERS = tuple(range(11, 21))
OPPOSITES = "hot big fast early happy open rich dark soft full".split()
TICKETS = (
    "My parcel is late.",
    "I was charged twice.",
    "I cannot log in.",
    "Where is my refund?",
    "The box arrived open.",
    "Please delete my account.",
    "我的包裹在哪裡？",
    "請退款給我。",
    "ログインできません。",
    "料金が二重に請求されました。",
)

QUESTIONS = (
    *(f"What is the capital of {country}?" for country in COUNTRIES),
    *(f"Write a sentence about {word}." for word in WORDS),
    *(f"What is {number} plus {number}?" for number in NUMBERS),
    *(f"What is the opposite of {word}?" for word in OPPOSITES),
    *TICKETS,
)


def rows() -> list[Example]:
    """Each question as a row."""
    return [
        Example(
            meta=Meta(id=f"q-{number}", source="q"),
            messages=[Message("user", question), Message("assistant", "x")],
        )
        for number, question in enumerate(QUESTIONS)
    ]
