"""The exports in `workflows/`, on a real n8n, a real PostgreSQL and a model on the loopback."""

from tests.n8n.scene import N8nScene

STEPS = [
    "initializing",
    "preparing_request",
    "calling_ai",
    "processing_response",
    "saving_response",
    "completed",
]


async def test_the_steps_in_their_order(scene: N8nScene) -> None:
    sent = scene.send("think say:Hello, you.")
    reply = scene.call(sent.task_id)
    assert reply.status_code == 200
    task = await scene.final(sent.task_id)
    assert task["status"] == "completed", task
    assert scene.steps(sent.task_id) == STEPS
    print(task, scene.message(sent))
