"""What the people of the demonstration wrote: two workshops of a town library, the answers of those who take part, and their chats.

`answers` are those of step 1, 2, 3, …: where they end, the person is. `chat` is (step, role, content), in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = ["ORGANISATION", "PEOPLE", "TENANT", "WORKSHOPS", "Person", "Story", "WorkshopStory"]

Role: TypeAlias = Literal["user", "assistant"]

TENANT: Final = "demo"
ORGANISATION: Final = "Harbour Street Library"


@dataclass(frozen=True, slots=True)
class Person:
    email: str
    display_name: str
    roles: tuple[str, ...] = ("participant",)


@dataclass(frozen=True, slots=True)
class Story:
    email: str
    answers: tuple[str, ...]
    chat: tuple[tuple[int, Role, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WorkshopStory:
    name: str
    title: str
    join_code: str
    steps: tuple[str, ...]
    stories: tuple[Story, ...]


PEOPLE: Final = (
    Person("nora@example.org", "Nora Lindqvist", ("facilitator", "owner")),
    Person("tomas@example.org", "Tomas Brandt"),
    Person("aisha@example.org", "Aisha Rahman"),
    Person("jules@example.org", "Jules Moreau"),
    Person("mei@example.org", "Mei Tanaka"),
    Person("piotr@example.org", "Piotr Zieliński"),
    Person("carmen@example.org", "Carmen Ortega"),
)

FIRST_VISIT: Final = WorkshopStory(
    name="first-visit",
    title="A calmer first visit",
    join_code="FIRST-VISIT",
    steps=("The challenge", "The people", "What we learned", "Ideas", "A first version", "Trying it out"),
    stories=(
        Story("tomas@example.org", (
            "People who come for the first time stand in the entrance and look lost. On Saturday I counted eleven of them in one hour, and "
            "four left again without talking to anybody.",
            "Parents with small children, who need the toilet before anything else. Students who only want a quiet seat and a socket. "
            "Older people who were here last before the rebuilding and no longer find the newspapers.",
            "Nobody reads the big panel at the door. They look for a person, and the desk is behind the returns machine, so they don't see "
            "one. Those who find the desk say sorry before they ask.",
            "1. Move the desk so that you see it from the door.\n2. A line on the floor in three colours: books, seats, toilets.\n"
            "3. Somebody with a badge who walks around during the first hour on Saturdays.",
            "The line on the floor, with tape from the hardware store. Three colours, twelve metres, done on Friday after closing. "
            "It costs nineteen euros and comes off again.",
            "First Saturday: seven of nine first-time visitors followed a line without asking. One boy followed all three of them",
        ), (
            (3, "user", "I have four observations and no insight. What am I missing?"),
            (3, "assistant", "Take the one that surprised you most and ask why twice. Why do people say sorry before they ask?"),
            (3, "user", "Because they think they are interrupting. We look busy with the screen."),
            (3, "assistant", "That is an insight: the desk tells them they disturb. Write it in one sentence, without a solution in it."),
            (5, "user", "Is tape on the floor too cheap for a prototype?"),
            (5, "assistant", "Cheap is right here. What do you want to see on Saturday to say that it works?"),
        )),
        Story("carmen@example.org", (
            "Our house is easy for those who know it. For somebody who does not, the first ten minutes decide whether they come back.",
            "I talked to Ms. Haddad, who has lived across the street for two years and came in for the first time in May. She thought you "
            "have to be a member to go beyond the glass door.",
            "The glass door looks like the end of what is public. Three of five people I asked believed that one needs a card to go in.",
            "Open the door and keep it open. A sign: \"Come in, you need no card.\" In the five languages of our street. Coffee inside, "
            "not in front.",
            "Door held open with a book cart from 10 to 12. The sign on an A-board, hand-written, in Spanish, Arabic, Polish, Turkish and "
            "English.",
            "Tuesday and Thursday with the door open, Wednesday as always. 61 and 58 people went through against 37. It was cold though, "
            "so Ana at the desk asks for a heater.",
        ), (
            (2, "user", "I only have one interview so far. Is that enough?"),
            (2, "assistant", "Enough to begin with, not to decide by. Two more would show whether her story is hers alone."),
            (6, "user", "Can I count it as a success? Three days is little."),
            (6, "assistant", "Say what you saw and how often. Then name what else could explain it: the weather, a school trip."),
            (6, "user", "There was a school trip on Thursday! I take those out."),
        )),
        Story("aisha@example.org", (
            "Signing up takes longer than the visit. I timed it: fourteen minutes with the form, the ID, the photo and the card.",
            "Families where one child speaks for everybody. The child is nine, translates the terms of use and is embarrassed.",
            "We ask for everything at the first visit, though most of it is needed only for lending more than three books. The form "
            "decides the order, not the visitor.",
            "A day card without a form: a name and a telephone number, three books, four weeks. The rest when somebody comes for the "
            "second time.",
        ), (
            (4, "user", "The day card needs a decision by the board. Should I leave it out?"),
            (4, "assistant", "Keep it. Which part could you try without the board? Two weeks, one desk, thirty cards?"),
            (4, "user", "Thirty cards I can decide myself, I think."),
        )),
        Story("jules@example.org", (
            "The quiet room is not quiet, and the loud room is empty. Newcomers sit down in the first and are hissed at.",
            "Pupils who work in groups, three or four of them, mostly after two o'clock. And the gentlemen with the newspapers, who have "
            "been here since ten.",
            "Both want the same chairs because they are near the window. It's not about noise, it is about light.",
        )),
        Story("mei@example.org", (
            "I don't know yet what the challenge is. When I started here in March nobody showed me round either, so maybe that is it.",
            "Those who arrive alone. In a group somebody always asks; alone one pretends to read the notices.",
        ), (
            (1, "user", "Can a challenge be about the staff?"),
            (1, "assistant", "Yes, if visitors feel it. What would a visitor notice of a colleague who was never shown around?"),
        )),
        Story("piotr@example.org", ()),
    ),
)

LESS_WASTE: Final = WorkshopStory(
    name="less-waste",
    title="Less waste in the café",
    join_code="LESS-WASTE",
    steps=("What happens now", "Where it hurts", "What we want", "What we try first"),
    stories=(
        Story("aisha@example.org", (
            "On a normal day we throw away six sandwiches, half a tray of cake and all of the soup that is left at four. On rainy days "
            "nothing, then we run out at one.",
            "The order goes out at five the evening before, when nobody knows the weather. And nobody likes to be the one who ordered too "
            "little.",
            "At most two sandwiches in the bin, on any day. It may happen that something is sold out, but not before half past one.",
            "Order for a bad day, and bake what is missing here: the oven stands unused after nine. Two weeks, Piotr keeps the list.",
        ), (
            (2, "user", "Everybody knows it is the ordering. Do I need this step at all?"),
            (2, "assistant", "You have named the cause; the step asks who feels it. Who has the bad moment, and when in the day?"),
            (2, "user", "Lucía, at ten to four, with the full tray in front of her."),
        )),
        Story("piotr@example.org", (
            "Bread comes at seven, counted by the box and not by what is left over. Nobody looks into the cold room before ordering.",
            "The cold room. It's minus two in there and the light is broken, so one guesses.",
            "That whoever orders knows what is there. A photo would do.",
        ), (
            (3, "user", "A photo every evening, is that a goal or already a solution?"),
            (3, "assistant", "A solution. The goal behind it is your first sentence. Keep both, but write the goal on its own line."),
        )),
        Story("jules@example.org", (
            "I take the leftovers home, as does everybody on the late shift. So the bin looks better than it is.",
            "It hurts nobody, that is the trouble. We should weigh it for a week before we talk about it any",
        )),
        Story("mei@example.org", ("Soup: 4 litres ordered, 2.5 sold on average (my own list, three wee",)),
    ),
)

WORKSHOPS: Final = (FIRST_VISIT, LESS_WASTE)
