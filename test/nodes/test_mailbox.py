import threading

from mambapose_ros.nodes.mailbox import Mailbox


def test_the_newest_item_wins_and_replacing_is_told():
    mailbox: Mailbox[int] = Mailbox()
    assert [mailbox.put(i) for i in (1, 2, 3)] == [False, True, True]
    assert mailbox.take() == (3,)
    assert not mailbox.put(4)


def test_take_waits_for_an_item():
    mailbox: Mailbox[int] = Mailbox()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(mailbox.take()))
    thread.start()
    mailbox.put(5)
    thread.join(10)
    assert taken == [(5,)]


def test_closing_wakes_whoever_waits():
    mailbox: Mailbox[int] = Mailbox()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(mailbox.take()))
    thread.start()
    mailbox.close()
    thread.join(10)
    assert taken == [None]


def test_a_closed_mailbox_gives_nothing_out():
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(1)
    mailbox.close()
    assert mailbox.take() is None


def test_senders_do_not_take_the_place_of_each_other():
    mailbox: Mailbox[str] = Mailbox()
    puts = [mailbox.put(*pair) for pair in (("l1", "left"), ("r1", "right"), ("l2", "left"))]
    assert puts == [False, False, True]
    assert mailbox.take() == ("r1", "l2")  # oldest first
