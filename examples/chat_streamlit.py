"""Chat with an agent that generates images, in Streamlit.

    pip install "langchain-qwen-image[sandbox]" langchain streamlit
    streamlit run examples/chat_streamlit.py

Without `-- --model …` the model follows a script: it draws what you write. Without `-- --live`
images are placeholders from the sandbox. Try "sandbox:slow-9 a fox", and "sandbox:quota".
"""

from typing import Any
from uuid import uuid4

import streamlit as st
from _chat import Chat, as_text

chat = st.cache_resource(Chat)(__doc__)  # the script runs again for each message
thread = st.session_state.setdefault("thread", uuid4().hex)
turns: list[tuple[str, list[Any]]] = st.session_state.setdefault("turns", [])

for role, parts in turns:
    with st.chat_message(role):
        for kind, value in parts:
            if kind == "image":
                st.image(value.image.read(), caption=as_text(kind, value))
            else:
                {"error": st.error, "spent": st.caption}.get(kind, st.write)(value)
if text := st.chat_input("Describe an image"):
    st.chat_message("user").write(text)
    turns += [("user", [("text", text)]), ("assistant", [])]
    with st.status("Asking the model") as status:
        for part in chat.reply(text, thread):
            if part[0] == "progress":
                status.update(label=part[1])
            else:
                turns[-1][1].append(part)
    st.rerun()
