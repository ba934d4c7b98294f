"""What an operator meets first, in the language that LC_ALL, LC_MESSAGES or LANG asks for: Korean, else English.

Only what is printed for people: `--json`, the state and everything that is compared keep the English words.
"""

from __future__ import annotations

import os
import re

VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first of them that is not empty decides, as POSIX has it."""


def is_korean() -> bool:
    """Whether the environment asks for Korean."""
    chosen = next((value for name in VARIABLES if (value := os.environ.get(name))), "")
    return re.match(r"ko(?![a-z])", chosen) is not None


def words(sentence: str, **values: object) -> str:
    """The sentence in the operator's language; one without a translation, such as a server's own words, as it is.

    values: for its placeholders; without them it is no template, and may hold braces.
    """
    text = KOREAN.get(sentence, sentence) if is_korean() else sentence
    return text.format(**values) if values else text


KOREAN = {
    # status
    "env file": "env 파일",
    "verified": "검증",
    "drift": "어긋난 것",
    "findings": "항목",
    "{count}; `circlepay findings` lists them": "{count}개. `circlepay findings`로 볼 수 있습니다",
    "-> `make up{suffix}` repairs everything that it can repair without losing data, and explains the rest": (
        "-> `make up{suffix}`이 데이터를 잃지 않고 고칠 수 있는 것은 모두 고치고, 나머지는 설명합니다"
    ),
    "{passed} passed, {at}": "{passed}개 통과, {at}",
    "{passed} passed, {failed} waits for a decision, {at}": "{passed}개 통과, {failed}개는 결정을 기다림, {at}",
    "{passed} passed, {failed} wait for a decision, {at}": "{passed}개 통과, {failed}개는 결정을 기다림, {at}",
    "never": "검증한 적 없음",
    "could not be checked: {problem}": "확인하지 못했습니다: {problem}",
    "not checked": "확인하지 않음",
    "none": "없음",
    "`up` would change {count} resource(s)": "`up`이 리소스 {count}개를 바꿉니다",
    "running, but not answering": "실행 중이지만 응답하지 않음",
    "down": "멈춤",
    "up {time}": "가동 {time}",
    "started again {count} time(s)": "자동으로 {count}번 다시 시작됨",
    "something in it was killed at its memory limit": "메모리 한도에서 강제 종료된 것이 있음",
    "nothing is listening there": "그 주소에서 수신하는 것이 없습니다",
    "it is missing; `make up` writes it": "파일이 없습니다. `make up`이 씁니다",
    # preview
    "that `up` leaves as it is: `circlepay findings`": "(`up`이 그대로 두는 것): `circlepay findings`",
    # summary
    "CirclePay stack {stack}": "CirclePay 스택 {stack}",
    "`{run}` {result} in {seconds} s": "`{run}` {result}, {seconds}초",
    "succeeded": "성공",
    "failed": "실패",
    "in-progress": "진행 중",
    "data": "데이터",
    "warning": "경고",
    "{count} finding": "항목 {count}개",
    "{count} findings": "항목 {count}개",
    "needs your decision: `circlepay findings`": "결정이 필요합니다: `circlepay findings`",
    "need your decision: `circlepay findings`": "결정이 필요합니다: `circlepay findings`",
    "Next": "다음 명령",
    "Created or changed": "만들거나 바꾼 것",
    "nothing": "없음",
    "nothing: everything was as declared": "없음: 모든 것이 선언한 대로였습니다",
    "and {count} more: `circlepay summary --json`": "그 밖에 {count}개: `circlepay summary --json`",
    "check everything from outside": "바깥에서 전부 검증하기",
    "what is running, and what drifted": "실행 상태와 어긋난 것 보기",
    "a shell on the database": "데이터베이스 셸",
    "all monitoring queries": "모든 모니터링 쿼리",
    "stop the servers and keep the data": "데이터는 두고 서버만 멈추기",
    # down
    "there is no stack {stack}: nothing to take down": "{stack} 스택이 없습니다. 멈출 것이 없습니다",
    "the servers of stack {stack} are stopped; kept: {places}": "{stack} 스택의 서버를 멈췄습니다. 남긴 것: {places}",
    "stack {stack} is down; deleted: {places}": "{stack} 스택을 내렸습니다. 지운 것: {places}",
    "no data, since there was none": "데이터 없음(원래 없었습니다)",
    "`make up{suffix}` continues from there": "`make up{suffix}`으로 이어집니다",
    "until then `docker volume prune --all` deletes it, and before Docker 23 `docker system prune --volumes`": (
        "그때까지 `docker volume prune --all`을 실행하면 데이터가 지워집니다"
        "(Docker 23 이전에는 `docker system prune --volumes`도)"
    ),
    "what is left of stack {stack}": "{stack} 스택에 남은 것",
    "This permanently deletes: {places}\nType delete to continue: ": (
        "다음을 영구히 지웁니다: {places}\n계속하려면 delete를 입력하세요: "
    ),
    "nothing was deleted": "아무것도 지우지 않았습니다",
    " and ": ", ",
}
"""English -> Korean, in the words of README.ko.md."""
